// SPDX-License-Identifier: GPL-3.0-or-later
// Time left of a job from its progress: rates between samples, exponentially smoothed; says nothing before three samples,
// because the first blocks of a job are never typical. Pure: time is given.
#pragma once
#include <cmath>

namespace tenpak::app {

class Eta {
   public:
    /// `done` in any unit, `seconds` on any steady clock; both never go back. A smaller `done` starts a new phase.
    void addSample(double done, double seconds);
    /// Rate per second; NaN before the third sample.
    double rate() const { return m_samples >= 3 ? m_rate : std::nan(""); }
    /// NaN before the third sample or where nothing moves.
    double secondsLeft(double total) const;
    void reset() { *this = Eta(); }

   private:
    double m_done = 0, m_seconds = 0, m_rate = 0;
    int m_samples = 0;
};

}  // namespace tenpak::app
