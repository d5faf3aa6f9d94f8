// SPDX-License-Identifier: Apache-2.0
// The CUDA backend and its kernels' bodies on the host (cuda_emulation.h), against the CPU backend and double precision.
#include <gtest/gtest.h>

#include "core/base/nf4.h"
#include "core/compute/cuda/cuda_backend.h"
#include "core/compute/cuda/layout.h"
#include "core/compute/cuda/pack.h"
#include "core/compute/cuda/self_test.h"
#include "core/compute/devices.h"
#include "tests/core/compute/cuda_cases.h"
#include "tests/core/compute/cuda_emulation.h"
#include "tests/core/compute/whole_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;

std::unique_ptr<CudaBackend> emulated(CudaEmulation& e) {
    auto b = make_cuda_backend(cuda_emulation(e), 0, "emulated GPU");
    EXPECT_TRUE(b.ok());
    return std::move(*b);
}
void expect_good(const BackendCases& cases, std::size_t least) {
    for (const CaseResult& r : cases.results) EXPECT_TRUE(r.good()) << r.name << ": error " << r.error << " > " << r.tolerance << " " << r.problem;
    EXPECT_GE(cases.results.size(), least);
}

TEST(CudaLayout, CodesBecomeFp16Exactly) {
    for (gpu::u32 zero = 0; zero < 16; ++zero) {
        const gpu::Int4Zero zeros[2] = {gpu::int4_zero(zero), gpu::int4_zero(15 - zero)};
        for (gpu::u32 code = 0; code < 16; ++code) {
            for (gpu::u32 c = 0; c < 4; ++c) {
                for (gpu::u32 high = 0; high < 2; ++high) {
                    const gpu::CodePlace p = gpu::int4_place(high * 8, c);
                    gpu::u32 a[4];
                    gpu::int4_to_fp16(code << p.shift, zeros, a);
                    const gpu::u32 pair = a[c / 2 * 2 + high];
                    EXPECT_EQ(c % 2 == 0 ? gpu::low_half(pair) : gpu::high_half(pair), static_cast<float>(code) - static_cast<float>(high == 0 ? zero : 15 - zero));
                }
            }
        }
    }
    for (int code = -128; code < 128; ++code) {
        const gpu::u32 byte = static_cast<gpu::u32>(code + 128);
        for (gpu::u32 c = 0; c < 4; ++c) {
            gpu::u32 a[4];
            gpu::int8_to_fp16(byte << (8 * c), byte << (8 * (3 - c)), a);
            EXPECT_EQ(c % 2 == 0 ? gpu::low_half(a[c / 2 * 2]) : gpu::high_half(a[c / 2 * 2]), static_cast<float>(code));
            const gpu::u32 other = 3 - c;
            EXPECT_EQ(other % 2 == 0 ? gpu::low_half(a[other / 2 * 2 + 1]) : gpu::high_half(a[other / 2 * 2 + 1]), static_cast<float>(code));
        }
    }
}

TEST(CudaLayout, ValuesOfTheOtherFormats) {
    for (gpu::u32 code = 0; code < 16; ++code) EXPECT_EQ(gpu::nf4_half(code), float_to_fp16(kNf4Levels[code])) << code;
    for (gpu::u32 word : {0x76543210u, 0xfedcba98u, 0x0f1e2d3cu}) {
        gpu::u32 a[4];
        gpu::nf4_to_fp16(word, a);
        for (gpu::u32 i = 0; i < 8; ++i) EXPECT_EQ(i < 4 ? a[i] & 0xffffu : a[i - 4] >> 16, gpu::nf4_half(word >> (4 * i) & 15u));
    }
    for (int code = 0; code < 256; ++code) {
        const float want = e4m3_to_float(static_cast<std::uint8_t>(code));
        gpu::u32 a[4];
        gpu::e4m3_to_fp16(static_cast<gpu::u32>(code) << 8, static_cast<gpu::u32>(code) << 16, a);
        if (std::isnan(want)) continue;
        EXPECT_EQ(gpu::high_half(a[0]) * 256, want);
        EXPECT_EQ(gpu::low_half(a[3]) * 256, want);
        EXPECT_EQ(gpu::low_half(a[0]), 0.0f);
    }
    std::mt19937 rng(4);
    for (int i = 0; i < 100000; ++i) {
        const float f = std::bit_cast<float>(static_cast<std::uint32_t>(rng()));
        if (!(std::fabs(f) <= 470.0f)) continue;
        ASSERT_EQ(gpu::round_to_e4m3(f), e4m3_to_float(float_to_e4m3(f))) << f;
    }
    for (int i = -480 * 64; i <= 480 * 64; ++i) {  // ties among them
        const float f = static_cast<float>(i) / 64, small = f / 4096;
        ASSERT_EQ(gpu::round_to_e4m3(f), e4m3_to_float(float_to_e4m3(f))) << f;
        ASSERT_EQ(gpu::round_to_e4m3(small), e4m3_to_float(float_to_e4m3(small))) << small;
    }
}

TEST(CudaLayout, EveryPlaceIsUsedOnce) {
    std::set<std::pair<gpu::u32, gpu::u32>> int4, int8_group, int8_channel, residual, mask, start;
    std::set<gpu::u32> fp16, int8;
    for (gpu::u32 row = 0; row < 16; ++row) {
        for (gpu::u32 column = 0; column < 64; ++column) {
            for (const auto& [set, p] : {std::pair(&int4, gpu::int4_place(row, column)), std::pair(&int8_group, gpu::int8_group_place(row, column)), std::pair(&int8_channel, gpu::int8_channel_place(row, column)),
                                        std::pair(&residual, gpu::residual_place(row, column)), std::pair(&mask, gpu::mask_place(row, column))})
                EXPECT_TRUE(set->insert({p.word, p.shift}).second);
            if (column == 0) {
                EXPECT_TRUE(start.insert({gpu::start_place(row).word, gpu::start_place(row).shift}).second);
            }
            if (row < 8) {
                EXPECT_TRUE(fp16.insert(gpu::fp16_place(row, column)).second);
                EXPECT_TRUE(int8.insert(gpu::int8_place(row, column)).second);
            }
        }
    }
    EXPECT_LT(int4.rbegin()->first, gpu::kWordsInt4);
    EXPECT_LT(int8_group.rbegin()->first, gpu::kWordsInt8);
    EXPECT_LT(int8_channel.rbegin()->first, gpu::kWordsInt8);
    EXPECT_GE(residual.begin()->first, gpu::kResidualAt);
    EXPECT_LT(residual.rbegin()->first, gpu::kWordsResidual);
    EXPECT_GE(mask.begin()->first, gpu::kMasksAt);
    EXPECT_LT(mask.rbegin()->first, gpu::kStartsAt);
    EXPECT_GE(start.begin()->first, gpu::kStartsAt);
    EXPECT_LT(start.rbegin()->first, gpu::kWordsSparse);
    EXPECT_EQ(*fp16.rbegin(), 511u);
    EXPECT_EQ(*int8.rbegin(), 511u);
}

TEST(CudaLayout, PackedCodesLieWhereTheLayoutSays) {
    for (const WeightFormat f : {WeightFormat::kInt4Group, WeightFormat::kInt8Group, WeightFormat::kInt8Channel}) {
        const LinearWeight w = random_weight(f, 50, 160, 32, 7);
        const auto p = pack_for_cuda(w);
        ASSERT_TRUE(p.ok());
        ASSERT_EQ(p->shape.blocks, 3u);
        const gpu::u32 words = gpu::words_per_tile(p->shape.format);
        ASSERT_EQ(p->codes.size(), 64u / 16 * 3 * words);
        for (gpu::u32 row = 0; row < 50; ++row) {
            for (gpu::u32 c = 0; c < 160; ++c) {
                const gpu::u32 r = row % 16, k = c % 64;
                const gpu::CodePlace at = f == WeightFormat::kInt4Group ? gpu::int4_place(r, k) : f == WeightFormat::kInt8Group ? gpu::int8_group_place(r, k) : gpu::int8_channel_place(r, k);
                const gpu::u32 word = p->codes[(row / 16 * 3 + c / 64) * words + at.word] >> at.shift;
                const std::size_t i = std::size_t{row} * 160 + c;
                if (f == WeightFormat::kInt4Group) {
                    ASSERT_EQ(word & 15u, static_cast<gpu::u32>(w.codes[i / 2] >> (i % 2 * 4) & 15));
                } else {
                    ASSERT_EQ(word & 255u, static_cast<gpu::u32>(w.codes[i] ^ (f == WeightFormat::kInt8Group ? 0x80 : 0)));
                }
            }
        }
    }
}

// What a tile says of each weight, times its scales, is what the codes stand for.
TEST(CudaLayout, PackedWeightsStandForTheSame) {
    for (const WeightFormat f : kQuantizedFormats) {
        if (f == WeightFormat::kInt8Channel) continue;  // int8_channel_place: above
        for (const std::uint32_t group : {32u, 64u, 96u, 24u, 0u}) {
            for (const bool shuffled : {false, true}) {
                LinearWeight w = random_weight(f, 37, 576, group, 5);
                if (f == WeightFormat::kInt4Sparse && group == 96) keep_first(w);
                if (shuffled) {
                    if (f == WeightFormat::kFp8Channel || f == WeightFormat::kInt4Sparse || group == 0) continue;
                    shuffle_groups(w, 6);
                }
                ASSERT_TRUE(w.validate("w").ok());
                const auto p = pack_for_cuda(w);
                ASSERT_TRUE(p.ok());
                const auto want = w.dequantize();
                const gpu::u32 words = gpu::words_per_tile(p->shape.format), blocks = p->shape.blocks;
                std::vector<unsigned> seen(576);
                for (gpu::u32 row = 0; row < 37; ++row) {
                    for (gpu::u32 c = 0; c < blocks * 64; ++c) {
                        const gpu::u32 from = p->columns.empty() ? c : p->columns[c];
                        if (from >= 576) continue;
                        ++seen[from];
                        const gpu::u32 at = gpu::scale_place(row, (c / 32) >> p->shape.group_shift, p->shape.groups);
                        const gpu::u32 zero = p->zeros.empty() ? gpu::usual_zeros(p->shape.format) & 0xff : p->zeros[at];
                        const float value = gpu::code_value(p->shape.format, p->codes.data() + (row / 16 * blocks + c / 64) * words, p->low.empty() ? nullptr : p->low.data() + row * blocks * 2, row % 16, c % 64, zero);
                        const float scale = (p->scales.empty() ? 1.0f : fp16_to_float(p->scales[at])) * p->row_scales[row];
                        ASSERT_NEAR(value * scale, want[row * 576 + from], f == WeightFormat::kNf4Group ? 2e-5 : 1e-9) << weight_format_name(f) << " " << group << " " << row << " " << c;
                    }
                }
                for (const unsigned s : seen) ASSERT_EQ(s, 37u);
            }
        }
    }
}

TEST(CudaLayout, ScalesKeepTheirValue) {
    LinearWeight w = random_weight(WeightFormat::kInt4Group, 40, 256, 64, 9);
    for (std::size_t i = 0; i < w.scales.size(); ++i) w.scales[i] = std::ldexp(w.scales[i], static_cast<int>(i % 7) * 9 - 40);  // far below fp16's range
    for (std::size_t g = 0; g < 4; ++g) w.scales[5 * 4 + g] = 0;
    const auto p = pack_for_cuda(w);
    ASSERT_TRUE(p.ok());
    for (std::uint32_t r = 0; r < 40; ++r) {
        float top = 0;
        for (std::uint32_t g = 0; g < 4; ++g) top = std::max(top, w.scales[r * 4 + g]);
        for (std::uint32_t g = 0; g < 4; ++g) {
            EXPECT_LE(std::fabs(fp16_to_float(p->scales[gpu::scale_place(r, g, 4)]) * p->row_scales[r] - w.scales[r * 4 + g]), top * 0x1p-24f);
            EXPECT_EQ(p->zeros[gpu::scale_place(r, g, 4)], w.zeros[r * 4 + g]);
        }
    }
}

TEST(CudaBackend, ProductsOfEveryFormat) {
    struct Shape {
        std::uint32_t n, k, group;
    };
    const Shape shapes[] = {{16, 64, 32}, {1, 2, 2}, {37, 96, 32}, {129, 300, 50}, {100, 512, 128}, {96, 640, 0}, {48, 180, 18}, {33, 128, 64}, {70, 4096, 128}};
    for (const bool library : {true, false}) {
        CudaEmulation e;
        e.dense_library = library;
        e.processors = library ? 132 : 4;
        const auto b = emulated(e);
        BackendCases cases(*b);
        const auto all = [&](WeightFormat f) {
            for (const Shape& s : shapes) {
                if (!has_shape(f, s.k, s.group)) continue;
                for (const std::uint32_t t : {1u, 3u, 8u, 9u, 17u, 33u, 70u}) {
                    if (s.k > 1000 && t != 1 && t != 33) continue;
                    cases.linear(f, s.n, s.k, s.group, t, t % 2 == 1);
                }
            }
        };
        for (const WeightFormat f : {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16}) all(f);
        for (const WeightFormat f : kQuantizedFormats) {
            all(f);
            cases.linear(f, 150, 192, 64, 260);
        }
        expect_good(cases, 10 * 7 * 7);
    }
}

TEST(CudaBackend, ProductsWithOutliersAndWithGroupsInAnyOrder) {
    for (const bool library : {true, false}) {
        CudaEmulation e;
        e.dense_library = library;
        e.processors = library ? 132 : 4;
        const auto b = emulated(e);
        BackendCases cases(*b);
        for (const LinearWeight& w : special_weights())
            for (const std::uint32_t t : {1u, 9u, 33u, 70u, 257u})
                if (t != 257 || w.n * w.k < 20000) cases.linear(w, t);
        expect_good(cases, 100);
    }
}

// No group size makes a weight four times as large, unless groups are of a few columns.
TEST(CudaBackend, NoFormatFallsBackToFp32) {
    CudaEmulation e;
    const auto b = emulated(e);
    for (const WeightFormat f : kQuantizedFormats) {
        for (const std::uint32_t group : {0u, 16u, 24u, 32u, 48u, 64u, 96u, 128u, 192u, 576u}) {
            LinearWeight w = random_weight(f, 96, 1152, group, 3);
            const auto packed = b->make_linear(w);
            ASSERT_TRUE(packed.ok());
            EXPECT_EQ(std::string((*packed)->kernel()).find("fp32"), std::string::npos) << (*packed)->kernel();
            // Where the kept weights of a row begin is a quarter of a bit more than a checkpoint holds; a group of 96 is three of 32.
            if (group % 64 == 0 || group == 32) {
                EXPECT_LT(static_cast<double>((*packed)->bytes()), 1.1 * static_cast<double>(w.stored_bytes()) + 6 * 256) << (*packed)->kernel();
            }
        }
    }
    EXPECT_NE(std::string((*b->make_linear(random_weight(WeightFormat::kInt4Group, 8, 64, 2, 1)))->kernel()).find("fp32"), std::string::npos);
}

TEST(CudaBackend, ElementwiseAndNorms) {
    CudaEmulation e;
    const auto b = emulated(e);
    BackendCases cases(*b);
    cases.elementwise();
    cases.append();
    expect_good(cases, 50);
}

TEST(CudaBackend, GramMatrices) {
    CudaEmulation e;
    const auto b = emulated(e);
    BackendCases cases(*b);
    for (const std::uint32_t k : {1u, 5u, 64u, 130u, 300u})
        for (const std::uint32_t t : {1u, 2u, 16u, 50u, 131u}) cases.gram(k, t);
    expect_good(cases, 25);
    float x = 1;
    EXPECT_EQ(make_cpu_backend(1)->gram(&x, 1, 1, &x).error().code, ErrorCode::kUnsupported);
}

TEST(CudaBackend, Attention) {
    for (const unsigned processors : {132u, 1u}) {
        CudaEmulation e;
        e.processors = processors;
        const auto b = emulated(e);
        BackendCases cases(*b);
        for (const auto& a : attention_cases()) cases.attention(a);
        expect_good(cases, 14);
    }
}

// Pages of 16 positions, out of order: the kernels find them by their table.
TEST(CudaBackend, PagedKeysAndValues) {
    CudaEmulation e;
    const tenpak_cuda_compute& f = cuda_emulation(e);
    tenpak_cuda_session* s = nullptr;
    char text[256];
    ASSERT_EQ(f.open(0, &s, text, sizeof text), 0);
    constexpr std::uint32_t kHeads = 4, kKv = 2, kDim = 64, kFirst = 40, kPage = 16;
    const AttentionShape shape{kHeads, kKv, kDim, 0.125f};
    for (const std::uint32_t tokens : {1u, 9u}) {
        const std::uint32_t positions = kFirst + tokens, pages = (positions + kPage - 1) / kPage;
        auto q = random_floats(std::size_t{tokens} * kHeads * kDim, 1), keys = random_floats(std::size_t{pages} * kPage * kKv * kDim, 2), values = random_floats(keys.size(), 3);
        std::vector<float> want(q.size()), got(q.size()), paged_keys(keys.size()), paged_values(keys.size());
        const AttentionJob job{q.data(), tokens, kFirst, {keys.data(), values.data(), positions}, want.data()};
        make_cpu_backend(1)->attention_batch({&job, 1}, shape);
        struct Page {
            const float *keys, *values;
        };
        struct alignas(16) Payload {
            tenpak_cuda_attention_job job;
            Page pages[8];
        } payload{};
        const std::size_t floats = std::size_t{kPage} * kKv * kDim;
        for (std::uint32_t p = 0; p < pages; ++p) {
            const std::size_t to = (pages - 1 - p) * floats;
            std::copy_n(keys.begin() + static_cast<std::ptrdiff_t>(p * floats), floats, paged_keys.begin() + static_cast<std::ptrdiff_t>(to));
            std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(p * floats), floats, paged_values.begin() + static_cast<std::ptrdiff_t>(to));
            payload.pages[p] = {paged_keys.data() + to, paged_values.data() + to};
        }
        payload.job = {q.data(), got.data(), tokens, kFirst, offsetof(Payload, pages), 4};
        tenpak_cuda_command c{};
        c.op = TENPAK_CUDA_ATTENTION;
        c.n[0] = 1;
        c.n[1] = kHeads;
        c.n[2] = kKv;
        c.n[3] = kDim;
        c.n[4] = tokens;
        c.n[5] = 256;
        c.f[0] = shape.scale;
        ASSERT_EQ(f.run(s, &c, 1, &payload, sizeof payload, text, sizeof text), 0) << text;
        EXPECT_LT(relative_error(got, std::vector<double>(want.begin(), want.end())), tokens == 1 ? kDecodeTolerance : kPrefillTolerance);
    }
    f.close(s);
}

// Neighbours that become one launch must give what they give one by one.
TEST(CudaBackend, JoinedOperationsGiveTheSame) {
    for (const WeightFormat format : {WeightFormat::kInt4Group, WeightFormat::kInt8Channel, WeightFormat::kBF16, WeightFormat::kInt4Sparse, WeightFormat::kNf4Group, WeightFormat::kFp8Channel}) {
        for (const std::uint32_t tokens : {1u, 5u, 40u}) {
            std::vector<float> got[2];
            std::uint64_t launches[2] = {};
            for (const bool apart : {false, true}) {
                CudaEmulation e;
                const auto b = emulated(e);
                std::vector<std::unique_ptr<PackedLinear>> w;
                for (const std::uint32_t n : {128u, 64u, 96u}) {
                    LinearWeight weight = random_weight(format, n, 256, 128, n);
                    if (format == WeightFormat::kNf4Group) shuffle_groups(weight, 1);  // the same order: they still join
                    if (format == WeightFormat::kInt8Channel) weight.outlier_threshold = 2;
                    w.push_back(std::move(*b->make_linear(weight)));
                }
                const std::size_t rows = tokens;
                OnDevice hidden(*b, random_floats(rows * 256, 1)), added(*b, random_floats(rows * 256, 2)), weight(*b, random_floats(256, 3)), normed(*b, std::vector<float>(rows * 256)),
                    out(*b, std::vector<float>(rows * (128 + 64 + 96)));
                const auto pause = [&] {
                    if (apart) {
                        EXPECT_TRUE(b->synchronize().ok());
                    }
                };
                b->add(hidden.data(), added.data(), rows * 256);
                pause();
                b->rms_norm(hidden.data(), weight.data(), 1e-5f, tokens, 256, normed.data(), false);
                pause();
                std::size_t at = 0;
                for (const auto& p : w) {
                    b->linear(*p, normed.data(), tokens, out.data() + at);
                    at += rows * p->n();
                    pause();
                }
                got[apart] = out.get();
                const auto h = hidden.get(), n = normed.get();
                got[apart].insert(got[apart].end(), h.begin(), h.end());
                got[apart].insert(got[apart].end(), n.begin(), n.end());
                launches[apart] = e.launches;
            }
            EXPECT_LT(relative_error(got[0], std::vector<double>(got[1].begin(), got[1].end())), 1e-6) << weight_format_name(format) << " " << tokens;
            EXPECT_LT(launches[0], launches[1]);
        }
    }
}

TEST(CudaBackend, ErrorsSurfaceWhereResultsAreWanted) {
    CudaEmulation e;
    e.memory = 1 << 20;
    const auto b = emulated(e);
    EXPECT_EQ(b->allocate(1 << 20), nullptr);
    const auto big = b->make_linear(random_weight(WeightFormat::kBF16, 1024, 1024, 0, 1));
    ASSERT_FALSE(big.ok());
    EXPECT_EQ(big.error().code, ErrorCode::kOutOfMemory);
    EXPECT_NE(big.error().what.find("2097152"), std::string::npos) << big.error().text();
    OnDevice x(*b, std::vector<float>(64, 1.0f));
    ASSERT_TRUE(x.status().ok());
    EXPECT_EQ(x.get()[5], 1.0f);  // out of memory leaves the rest usable
    b->scale(x.data(), 64, 2);
    e.fail_next_run = true;
    EXPECT_FALSE(b->synchronize().ok());
    std::vector<float> host(64);
    EXPECT_FALSE(b->download(x.data(), 64, host.data()).ok());  // a device that faulted stays refused
}

TEST(CudaBackend, AttentionThatCannotRunIsRefused) {
    CudaEmulation e;
    const auto b = emulated(e);
    OnDevice q(*b, std::vector<float>(512));
    const AttentionJob job{q.data(), 1, 0, {q.data(), q.data(), 1}, q.data()};
    b->attention_batch({&job, 1}, {1, 1, 512, 1.0f});
    const Status s = b->synchronize();
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, ErrorCode::kUnsupported);
}

TEST(CudaBackend, SelfTestPassesAndSeesDamage) {
    CudaEmulation e;
    const auto b = emulated(e);
    const Status s = compare_with_cpu(*b);
    EXPECT_TRUE(s.ok()) << s.error().text();
    e.fail_next_run = true;
    EXPECT_FALSE(compare_with_cpu(*b).ok());
}

TEST(CudaBackend, AGpuThatIsNotThereIsRefused) {
    if (CudaModule::open().ok()) GTEST_SKIP() << "this machine has a GPU";
    const auto b = make_backend("cuda");
    ASSERT_FALSE(b.ok());
    EXPECT_EQ(b.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(b.error().what.find("running on the CPU"), std::string::npos);
    EXPECT_EQ(make_backend("gpu").error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(make_backend("cpu").ok());
}

TEST(CudaBackend, DeviceNames) {
    EXPECT_EQ(*cuda_device_index("cuda"), 0);
    EXPECT_EQ(*cuda_device_index("cuda:3"), 3);
    for (const char* bad : {"", "cpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cudaa", "cuda:99999999999"}) EXPECT_FALSE(cuda_device_index(bad).ok()) << bad;
    EXPECT_TRUE(is_cuda_device("cuda:1"));
    EXPECT_FALSE(is_cuda_device("cpu"));
}

// ---- whole models --------------------------------------------------------------------------------------------------

std::vector<float> run_model(const TinyModel& tiny, const std::filesystem::path& dir, const WeightOverrides& overrides, Backend& backend, bool f32) {
    auto r = model_steps(tiny, dir, overrides, backend, f32, 8);
    EXPECT_TRUE(r.ok()) << r.error().text();
    return r.ok() ? std::move(*r) : std::vector<float>();
}

TEST(CudaBackend, WholeModelMatchesTheCpu) {
    TinyShape gqa, biased;
    biased.attention_bias = biased.mlp_bias = true;
    biased.tied = false;
    for (const TinyShape& shape : {gqa, biased}) {
        const TinyModel tiny(shape);
        TempDir dir;
        tiny.write(dir / "m");
        const auto cpu = make_cpu_backend(1);
        for (const bool f32 : {true, false}) {
            CudaEmulation e;
            const auto gpu = emulated(e);
            const auto want = run_model(tiny, dir / "m", {}, *cpu, f32);
            const auto got = run_model(tiny, dir / "m", {}, *gpu, f32);
            EXPECT_LT(relative_error(got, std::vector<double>(want.begin(), want.end())), f32 ? 2e-3 : 1e-2);
            // Seven decode steps are the same list: one graph, replayed.
            EXPECT_GE(e.repeated_lists, 6u);
        }
    }
}

TEST(CudaBackend, WholeQuantizedModelMatchesTheCpu) {
    TinyShape shape;
    shape.hidden = 64;
    shape.intermediate = 128;
    const TinyModel tiny(shape);
    TempDir dir;
    tiny.write(dir / "m");
    for (const WeightFormat f : kQuantizedFormats) {
        const WeightOverrides overrides = quantized_projections(tiny, f);
        const auto cpu = make_cpu_backend(1);
        CudaEmulation e;
        const auto gpu = emulated(e);
        const auto want = run_model(tiny, dir / "m", overrides, *cpu, false);
        const auto got = run_model(tiny, dir / "m", overrides, *gpu, false);
        EXPECT_LT(relative_error(got, std::vector<double>(want.begin(), want.end())), quantized_tolerance(f)) << weight_format_name(f);
        EXPECT_GE(e.repeated_lists, 6u);
    }
}

}  // namespace
