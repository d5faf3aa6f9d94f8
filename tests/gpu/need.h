// SPDX-License-Identifier: Apache-2.0
// What the programs for a machine with a GPU do with an error: say it and end.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/error.h"

namespace tenpak::test {

[[noreturn]] inline void die(const std::string& what) {
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    std::exit(1);
}
template <class T>
T need(Result<T> r) {
    if (!r.ok()) die(r.error().text());
    return std::move(r).value();
}
inline void need(const Status& s) {
    if (!s.ok()) die(s.error().text());
}

}  // namespace tenpak::test
