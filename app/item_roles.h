// SPDX-License-Identifier: GPL-3.0-or-later
// Columns of the item models in app/ and the extra roles by which the delegates in ui/ paint them: the only thing that
// models and delegates share. DisplayRole is always the whole text of the cell, so that copying and reading aloud work.
#pragma once
#include <Qt>

namespace tenpak::app {

enum ItemRole {
    kIdRole = Qt::UserRole + 1,  ///< QString: tensor name, candidate id, path, job id
    kSortRole,                   ///< double or QString to sort by; NaN last
    kToneRole,                   ///< int(Tone) of the cell's text or pill; absent: plain text
    kMutedRole,                  ///< bool: secondary text colour
    kStrongRole,                 ///< bool: body strong
    kPillRole,                   ///< QString: icon name; the cell is painted as a pill of kToneRole
    kProgressRole,               ///< double 0..1: the cell is painted as text over a small bar
    kMarkRole,                   ///< int(Mark): the cell is painted as the chart's sign
    kCostStepRole,               ///< double 0..1, cheap to dear, of the mark's colour; NaN where cost is not known
    kMethodRole,                 ///< QString: delta method; its coloured sign is painted before the text
};

/// Same sign in chart, table and legend.
enum class Mark { kNone, kWinner, kFront, kDominated, kFails, kBaseline, kQueued, kRunning, kFailed };

namespace TensorColumn {
/// kError: of lossy modes only, else hidden.
enum { kTensor, kShape, kChanged, kMethod, kBits, kError, kRaw, kStored, kCount };
}
namespace CandidateColumn {
enum { kMark, kCandidate, kPerplexity, kLatency, kThroughput, kMemory, kSmaller, kCost, kVerdict, kCount };
}
namespace FileColumn {
enum { kFile, kRaw, kStored, kHow, kCount };
}

}  // namespace tenpak::app
