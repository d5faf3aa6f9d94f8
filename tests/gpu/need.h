// SPDX-License-Identifier: Apache-2.0
// What the programs for a machine with a GPU do with an error: say it and end.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/compute/cuda/cuda_backend.h"

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

/// The GPU that the command line numbers (0 without). Where there is none the program ends as skipped, and says why.
inline std::unique_ptr<compute::CudaBackend> gpu_or_skip(int argc, char** argv) {
    auto backend = compute::make_cuda_backend(argc > 1 ? std::atoi(argv[1]) : 0);
    if (backend.ok()) return std::move(*backend);
    std::printf("SKIPPED: %s\n", backend.error().what.c_str());
    std::exit(backend.error().code == ErrorCode::kUnsupported ? 77 : 1);
}

}  // namespace tenpak::test
