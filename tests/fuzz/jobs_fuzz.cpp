// SPDX-License-Identifier: Apache-2.0
// Hostile text for every parser of core/jobs and the price table. First byte: which; the rest: the text. What a parser
// takes must survive being written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/jobs/limits_json.h"
#include "core/jobs/worker_protocol.h"
#include "core/optimizer/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace tenpak;
    if (size < 1) return 0;
    const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
    switch (data[0] % 6) {
        case 0: (void)jobs::parse_worker_message(text).ok(); break;
        case 1: (void)jobs::parse_start(text).ok(); break;
        case 2: {
            const auto t = jobs::trial_from_json(text, "fuzz");
            if (!t.ok()) break;
            const std::string again = jobs::trial_to_json(*t);
            const auto back = jobs::trial_from_json(again, "fuzz");
            if (!back.ok() || jobs::trial_to_json(*back) != again) std::abort();
            const Result<optimizer::Judgement> none = optimizer::judge({&*t, 1}, {}, 1);
            if (none->trials.size() != 1) std::abort();
            break;
        }
        case 3: {
            const auto s = jobs::sweep_spec_from_json(text, "fuzz");
            if (s.ok() && !jobs::sweep_spec_from_json(jobs::sweep_spec_json(*s), "fuzz").ok()) std::abort();
            break;
        }
        case 4: {
            const auto l = jobs::limits_from_json(text, "fuzz");
            if (l.ok() && !jobs::limits_from_json(jobs::limits_to_json(*l), "fuzz").ok()) std::abort();
            break;
        }
        default: (void)optimizer::load_prices(text, "fuzz").ok(); break;
    }
    return 0;
}
