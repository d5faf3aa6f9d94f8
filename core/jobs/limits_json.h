// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "core/base/error.h"
#include "core/optimizer/judge.h"

namespace tenpak::jobs {

/// {"max_ppl_delta":2,…}: absent limits are left out.
std::string limits_to_json(const optimizer::Limits& limits);
Result<optimizer::Limits> limits_from_json(const std::string& json, const std::string& where);

}  // namespace tenpak::jobs
