// SPDX-License-Identifier: Apache-2.0
// Where hardware prices come from: the table built into the program (resources/prices/hardware.json) and the user's own
// copy of it, whose rows replace those with the same id or are added.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/optimizer/judge.h"

namespace tenpak::optimizer {

/// The JSON text of resources/prices/hardware.json as it was at build time.
const char* builtin_price_table();
/// $XDG_CONFIG_HOME/tenpak/hardware.json or ~/.config/tenpak/hardware.json; need not exist.
std::filesystem::path user_price_file();
/// Built-in rows with those of `user_file` (where it exists) over them. kMalformed names the user's file.
Result<std::vector<HardwarePrice>> load_price_table(const std::filesystem::path& user_file = user_price_file());
/// The row `id`, or the local default for an empty one. kInvalidArgument for an unknown id, listing the known ones.
Result<HardwarePrice> find_price(const std::vector<HardwarePrice>& table, const std::string& id);
/// YYYY-MM-DD, UTC.
std::string today_utc();

}  // namespace tenpak::optimizer
