// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/eta.h"

#include <algorithm>

namespace tenpak::app {

void Eta::addSample(double done, double seconds) {
    if (m_samples > 0 && done < m_done) reset();
    if (m_samples > 0) {
        const double dt = seconds - m_seconds;
        if (dt <= 0 || done == m_done) return;
        const double now = (done - m_done) / dt;
        // The smoothing follows the time a sample covers: half of the weight is gone after two seconds.
        const double weight = m_samples == 1 ? 1.0 : std::max(0.15, 1 - std::exp2(-dt / 2));
        m_rate += weight * (now - m_rate);
    }
    m_done = done;
    m_seconds = seconds;
    ++m_samples;
}

double Eta::secondsLeft(double total) const {
    if (m_samples < 3 || !(m_rate > 0) || total < m_done) return std::nan("");
    return (total - m_done) / m_rate;
}

}  // namespace tenpak::app
