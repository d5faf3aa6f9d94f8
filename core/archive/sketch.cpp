// SPDX-License-Identifier: Apache-2.0
#include "core/archive/sketch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace tenpak::archive {
namespace {

constexpr std::uint64_t kRunWeights = 256, kRuns = 1024;
/// What fp16 and bf16 weights without a base take of their bytes, about: sign and mantissa do not compress.
constexpr double kAlone = 0.75;

bool sampled_type(DType t) { return t == DType::kBF16 || t == DType::kF16 || t == DType::kF32; }

/// Sign and magnitude to the order of values.
std::uint32_t ordered(std::uint32_t bits, unsigned width) {
    const std::uint32_t sign = std::uint32_t{1} << (width - 1), mask = width == 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << width) - 1;
    return (bits & sign) != 0 ? ~bits & mask : bits | sign;
}

std::string key_of(const TensorInfo& t) {
    std::string s = t.name + '\0' + std::string(dtype_name(t.dtype));
    for (const std::uint64_t d : t.shape) s += '\0' + std::to_string(d);
    return s;
}

}  // namespace

Result<Sketch> sketch(const ModelSource& model, const JobContext& ctx) {
    Sketch out;
    out.weight_bytes = model.weight_bytes();
    std::vector<std::pair<std::string, const TensorInfo*>> tensors;
    std::uint64_t weights = 0;
    for (const TensorInfo& t : model.tensors()) {
        if (!sampled_type(t.dtype) || t.bytes == 0) continue;
        tensors.emplace_back(key_of(t), &t);
        weights += t.elements();
    }
    std::sort(tensors.begin(), tensors.end());
    // Thousands of tiny tensors: those whose names hash low speak for all.
    const double share = std::min(1.0, static_cast<double>(kRuns) / static_cast<double>(std::max<std::size_t>(tensors.size(), 1)));
    Bytes buffer;
    for (const auto& [key, t] : tensors) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::uint64_t hash = xxh3_64(as_bytes(key));
        if (share < 1 && t->elements() < kRunWeights * 64 && static_cast<double>(hash >> 11) * 0x1p-53 > share) continue;
        const std::uint64_t n = t->elements(), bytes = dtype_bits(t->dtype) / 8;
        const std::uint64_t fair = (kRuns * n + weights / 2) / weights, runs = std::clamp<std::uint64_t>(fair, 1, std::max<std::uint64_t>(n / kRunWeights, 1));
        for (std::uint64_t r = 0; r < runs; ++r) {
            const std::uint64_t begin = n * r / runs, size = n * (r + 1) / runs - begin, take = std::min(size, kRunWeights);
            std::uint64_t seed = hash + r;
            const std::uint64_t offset = size > take ? xxh3_64(std::as_bytes(std::span(&seed, 1))) % (size - take + 1) : 0;
            buffer.resize(take * bytes);
            TENPAK_RETURN_IF_ERROR(model.read(*t, (begin + offset) * bytes, buffer));
            SketchRun run{key, static_cast<double>(size), t->dtype, {}};
            run.ordered.reserve(take);
            for (std::uint64_t i = 0; i < take; ++i) {
                std::uint32_t v = 0;
                std::memcpy(&v, buffer.data() + i * bytes, bytes);
                run.ordered.push_back(ordered(v, static_cast<unsigned>(bytes * 8)));
            }
            out.runs.push_back(std::move(run));
        }
    }
    return out;
}

double delta_bytes(const Sketch& base, const Sketch& model) {
    std::array<double, 34> classes{};  // by bits of the difference
    double bits = 0, counted = 0, alone = 0;
    std::size_t b = 0;
    for (std::size_t i = 0; i < model.runs.size(); ++i) {
        const SketchRun& run = model.runs[i];
        while (b < base.runs.size() && base.runs[b].tensor < run.tensor) ++b;
        // Equal keys give equal numbers of runs only where the models' sizes agree; what is left over has no counterpart.
        if (b >= base.runs.size() || base.runs[b].tensor != run.tensor || base.runs[b].ordered.size() != run.ordered.size()) {
            alone += run.weight * dtype_bits(run.dtype);
            continue;
        }
        const auto& other = base.runs[b++].ordered;
        const double each = run.weight / static_cast<double>(run.ordered.size());
        for (std::size_t k = 0; k < other.size(); ++k) {
            const std::uint32_t d = run.ordered[k] > other[k] ? run.ordered[k] - other[k] : other[k] - run.ordered[k];
            const int width = std::bit_width(d);
            classes[static_cast<std::size_t>(width)] += each;
            bits += each * width;  // below its leading one, and the sign
            counted += each;
        }
    }
    for (const double c : classes)
        if (c > 0) bits -= c * std::log2(c / counted);
    const double spoken = [&] {
        double s = 0;
        for (const SketchRun& r : model.runs) s += r.weight * dtype_bits(r.dtype) / 8;
        return s;
    }();
    if (spoken <= 0) return static_cast<double>(model.weight_bytes);
    const double bytes = std::min((bits + alone * kAlone) / 8, spoken * kAlone);
    return bytes * static_cast<double>(model.weight_bytes) / spoken;
}

}  // namespace tenpak::archive
