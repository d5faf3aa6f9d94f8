// SPDX-License-Identifier: Apache-2.0
#include "core/delta/weight_decode_bulk.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/delta/weight_decode_tables.h"

// Highway's AVX3_DL (Ice Lake, Zen 4) has VBMI2. What is older than AVX2 takes the scalar decoder.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/delta/weight_decode_bulk.cpp"
// GCC 12 says so of the undefined operands inside its own intrinsics (GCC bug 105593), and of Highway's shadowed names.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/delta/weight_decode_avx512-inl.h"
#include "core/delta/weight_decode_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenpak::delta {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
void RunBulk(const BulkTables& t, const BulkInput& in, DecodePosition& at) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    if (t.bytes == 2) {
        RunAvx512(t, in, at);
        return;
    }
#endif
    RunVector(t, in, at);
}
#else
void RunBulk(const BulkTables&, const BulkInput&, DecodePosition&) {}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace tenpak::delta
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenpak::delta {

namespace {

using Run = void (*)(const BulkTables&, const BulkInput&, DecodePosition&);
struct Target {
    std::int64_t bit;
    const char* name;
    Run run;
};
// Best first. Highway's own dispatch has no way to choose a lesser target later than at the first call.
const Target kTargets[] = {
#if HWY_TARGETS & HWY_AVX3_DL
    {HWY_AVX3_DL, "AVX-512 VBMI2", N_AVX3_DL::RunBulk},
#endif
#if HWY_TARGETS & HWY_AVX3
    {HWY_AVX3, "AVX-512", N_AVX3::RunBulk},
#endif
#if HWY_TARGETS & HWY_AVX2
    {HWY_AVX2, "AVX2", N_AVX2::RunBulk},
#endif
#if HWY_TARGETS & HWY_NEON
    {HWY_NEON, "NEON", N_NEON::RunBulk},
#endif
    {0, "scalar", nullptr},
};

const Target* best_target() {
    const std::int64_t supported = hwy::SupportedTargets();
    const Target* t = kTargets;
    while (t->run != nullptr && (supported & t->bit) == 0) ++t;
    return t;
}
std::atomic<const Target*> g_target{nullptr};

/// Bytes of words that a decoder and its loads can reach before it looks again: 128 weights x 2 steps x 2, and 64.
constexpr std::size_t kRoom = 576;

}  // namespace

std::vector<std::string> bulk_decoders() {
    std::vector<std::string> names;
    const std::int64_t supported = hwy::SupportedTargets();
    for (const Target& t : kTargets)
        if (t.run != nullptr && (supported & t.bit) != 0) names.emplace_back(t.name);
    return names;
}

bool choose_bulk_decoder(const std::string& name) {
    const std::int64_t supported = hwy::SupportedTargets();
    for (const Target& t : kTargets) {
        if (name.empty() ? &t != best_target() : name != t.name || (t.run != nullptr && (supported & t.bit) == 0)) continue;
        g_target = &t;
        return true;
    }
    return false;
}

void decode_bulk(const Payload& payload, const DecodeTables& tables, KeyKind keys, const Prediction& prediction, std::byte* raw, std::size_t weights, DecodePosition& at) {
    const Target* target = g_target;
    if (target == nullptr) g_target = target = best_target();
    if (target->run == nullptr || payload.lanes < kRound || weights < payload.lanes) return;
    const BulkTables t(payload, tables, keys);
    BulkInput in{prediction.bytes.data(), prediction.keys.data(), raw, weights, nullptr};
    if (static_cast<std::size_t>(at.words_end - at.word) >= kRoom) {
        in.limit = at.words_end - kRoom;
        target->run(t, in, at);
    }
    // The last words lie in a copy, where a round may read behind their end. If one takes more than there are, it is
    // not counted: the scalar decoder repeats it and says what is wrong.
    const auto left = static_cast<std::size_t>(at.words_end - at.word);
    std::array<std::byte, 2 * kRoom> copy{};
    if (left >= kRoom) return;
    std::memcpy(copy.data(), at.word, left);
    const DecodePosition before = at;
    in.limit = copy.data() + left;
    for (;;) {
        at.word = copy.data();
        target->run(t, in, at);
        if (at.word <= in.limit) break;
        in.weights = at.weight - kRound;
        at = before;
    }
    at.word = before.word + (at.word - copy.data());
}

}  // namespace tenpak::delta
#endif
