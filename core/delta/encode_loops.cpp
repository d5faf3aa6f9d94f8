// SPDX-License-Identifier: Apache-2.0
#include "core/delta/encode_loops.h"

#include <cstring>

#include "core/delta/prediction.h"

namespace tenpak::delta {

namespace plain {
#define TENPAK_TARGET
#include "core/delta/encode_loops.inc"
#undef TENPAK_TARGET
}  // namespace plain

#if defined(__x86_64__) && defined(__GNUC__)
namespace newer {
#define TENPAK_TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512cd")))
#include "core/delta/encode_loops.inc"
#undef TENPAK_TARGET
}  // namespace newer

namespace {
bool is_newer() {
    static const bool yes = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                            __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("bmi2") != 0;
    return yes;
}
}  // namespace

ExponentRange exponent_range(const std::byte* predicted, std::size_t weights, const FloatLayout& layout) {
    return is_newer() ? newer::range_any(predicted, weights, layout) : plain::range_any(predicted, weights, layout);
}
void index_weights(const IndexJob& job) { is_newer() ? newer::index_any(job) : plain::index_any(job); }
void map_weights(const MapJob& job) { is_newer() ? newer::map_any(job) : plain::map_any(job); }
std::uint16_t* code_words(const WordsJob& job) { return is_newer() ? newer::words_any(job) : plain::words_any(job); }
#else
ExponentRange exponent_range(const std::byte* predicted, std::size_t weights, const FloatLayout& layout) { return plain::range_any(predicted, weights, layout); }
void index_weights(const IndexJob& job) { plain::index_any(job); }
void map_weights(const MapJob& job) { plain::map_any(job); }
std::uint16_t* code_words(const WordsJob& job) { return plain::words_any(job); }
#endif

}  // namespace tenpak::delta
