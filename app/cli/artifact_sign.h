// SPDX-License-Identifier: Apache-2.0
// The verbs of `tenpak artifact` that deal with keys: keygen, sign, verify, trust.
#pragma once
#include "app/cli/command.h"

namespace tenpak::cli {

void add_artifact_sign(CLI::App& group, Context& ctx);

/// A result's error alone.
template <class T>
Status status_of(Result<T> r) {
    if (!r.ok()) return std::move(r).error();
    return {};
}

}  // namespace tenpak::cli
