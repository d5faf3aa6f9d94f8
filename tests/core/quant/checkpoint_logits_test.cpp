// SPDX-License-Identifier: Apache-2.0
// A quantized checkpoint of any size, run from its packed weights, against logits that tests/oracle/check_layouts.py has written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/compute/cpu/cpu_backend.h"
#include "core/model/transformer.h"
#include "core/quant/export_layout.h"

using namespace tenpak;

TEST(CheckpointLogits, AreThoseOfTheLibrary) {
    const char *path = std::getenv("TENPAK_LOGITS_MODEL"), *expected = std::getenv("TENPAK_LOGITS_EXPECTED"), *tolerance = std::getenv("TENPAK_LOGITS_TOLERANCE");
    if (path == nullptr || expected == nullptr || tolerance == nullptr) {
        GTEST_SKIP() << "TENPAK_LOGITS_MODEL, TENPAK_LOGITS_EXPECTED and TENPAK_LOGITS_TOLERANCE are not set: tests/oracle/check_layouts.py does";
    }
    const auto source = ModelDirectory::open(path), file = ModelDirectory::open(expected);
    ASSERT_TRUE(source.ok() && file.ok());
    const TensorInfo *t = (*file)->find("tokens"), *l = (*file)->find("logits");
    ASSERT_TRUE(t != nullptr && l != nullptr);
    std::vector<model::Token> tokens(t->elements());
    ASSERT_TRUE((*file)->read(*t, 0, std::as_writable_bytes(std::span(tokens))).ok());
    const std::vector<float> want = (*file)->read_float(*l).value();
    const auto overrides = quant::import_quantized(**source, {});
    ASSERT_TRUE(overrides.ok()) << overrides.error().text();
    const auto backend = compute::make_cpu_backend();
    const auto model = model::Transformer::load(*source, *overrides, *backend, {}, {});
    ASSERT_TRUE(model.ok()) << model.error().text();
    model::KvCache cache((*model)->config(), *backend, 1, static_cast<std::uint32_t>(tokens.size()));
    std::vector<float> logits;
    const model::SequenceChunk chunk{0, tokens};
    ASSERT_TRUE((*model)->forward({&chunk, 1}, cache, model::LogitsOf::kAll, logits).ok());
    ASSERT_EQ(logits.size(), want.size());
    double largest = 0;
    for (std::size_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::fabs(static_cast<double>(logits[i]) - static_cast<double>(want[i])));
    std::printf("logits: largest difference %.3e (%zu tokens, %zu linears packed)\n", largest, tokens.size(), overrides->linears.size());
    EXPECT_LT(largest, std::strtod(tolerance, nullptr));
}
