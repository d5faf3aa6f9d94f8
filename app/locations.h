// SPDX-License-Identifier: GPL-3.0-or-later
// Where the parts of the program are: installed, in a build tree, or in a source tree.
#pragma once
#include <QString>
#include <optional>

namespace tenpak::app {

struct SampleFiles {
    QString folder, base, fineTune;
    QString recordedSweep;  ///< a sweep recorded by `tenpak optimize --record`; empty where there is none
    quint64 bytes = 0;      ///< of base and fine-tune together
};
/// Looks in $TENPAK_SAMPLE_DIR, PREFIX/share/tenpak/sample for a program in PREFIX/bin, and resources/sample of any folder
/// above the program (build tree). Nothing when no folder holds base/ and finetune/ with weights.
std::optional<SampleFiles> findSample(const QString& programFolder);
/// The `tenpak` binary beside the studio: the worker program. Empty where it is missing.
QString findWorkerProgram(const QString& programFolder);
/// Job store and projects of this user: jobs::JobStore::default_directory().
QString dataFolder();

}  // namespace tenpak::app
