// SPDX-License-Identifier: Apache-2.0
// tenpak delta find-base.
#pragma once
#include "app/cli/command.h"

namespace tenpak::cli {

void add_find_base(CLI::App& delta, Context& ctx);

}  // namespace tenpak::cli
