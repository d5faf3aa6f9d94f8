// SPDX-License-Identifier: GPL-3.0-or-later
// The four questions about an artifact and their answers in words. Pure functions of the details: nothing is claimed
// that was not checked here.
#pragma once
#include <array>

#include "app/view_states.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

enum class AnswerAction { kNone, kVerify, kTrust, kRebuild, kChooseBase, kStop };

struct Answer {
    QString question, icon;
    Ink ink = Ink::kMuted;
    QString answer, evidence;
    AnswerAction action = AnswerAction::kNone;
    QString actionText, actionIcon;
};

Answer intactAnswer(const app::ArtifactDetails& details);
Answer signedAnswer(const app::ArtifactDetails& details);
Answer losslessAnswer(const app::ArtifactDetails& details);
Answer baseAnswer(const app::ArtifactDetails& details);
std::array<Answer, 4> answersFor(const app::ArtifactDetails& details);
bool isDamaged(const app::ArtifactDetails& details);

}  // namespace tenpak::ui
