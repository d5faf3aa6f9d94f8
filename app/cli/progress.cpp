// SPDX-License-Identifier: Apache-2.0
#include "app/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "app/cli/command.h"

namespace tenpak::cli {

ProgressPrinter::ProgressPrinter(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
ProgressPrinter::~ProgressPrinter() { finish(); }

void ProgressPrinter::show(const Progress& p) {
    if (quiet_) return;
    std::scoped_lock lock(m_);
    const auto now = Clock::now();
    const bool fresh = p.phase != phase_;
    if (fresh) {
        phase_ = p.phase;
        phase_start_ = now;
    } else if (now - last_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000))) {
        return;
    }
    last_ = now;
    const double elapsed = std::chrono::duration<double>(now - phase_start_).count();
    const double fraction = p.total > 0 ? std::min(1.0, static_cast<double>(p.done) / static_cast<double>(p.total)) : 0;
    std::string tail;
    if (std::strcmp(p.unit, "bytes") == 0 && elapsed > 0.2) tail += " · " + format_bytes(static_cast<double>(p.done) / elapsed) + "/s";
    if (fraction > 0.02 && fraction < 1 && elapsed > 1) tail += " · " + format_duration(elapsed * (1 - fraction) / fraction) + " left";
    if (!p.detail.empty()) tail += " · " + p.detail.substr(0, 60);
    if (terminal_) {
        const int filled = static_cast<int>(fraction * 24);
        std::fprintf(stderr, "\r\x1b[2K%s [%s%s] %3.0f %%%s", p.phase.c_str(), std::string(static_cast<std::size_t>(filled), '=').c_str(),
                     std::string(static_cast<std::size_t>(24 - filled), ' ').c_str(), fraction * 100, tail.c_str());
        drawn_ = true;
    } else {
        std::fprintf(stderr, "%s %.0f %%%s\n", p.phase.c_str(), fraction * 100, tail.c_str());
    }
    std::fflush(stderr);
}

void ProgressPrinter::finish() {
    std::scoped_lock lock(m_);
    if (drawn_) std::fputs("\r\x1b[2K", stderr);
    drawn_ = false;
}

}  // namespace tenpak::cli
