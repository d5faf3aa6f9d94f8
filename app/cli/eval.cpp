// SPDX-License-Identifier: Apache-2.0
#include "app/cli/command.h"

namespace tenpak::cli {
void add_eval(CLI::App&, Context&) {}
}  // namespace tenpak::cli
