// SPDX-License-Identifier: Apache-2.0
// Sums over a vocabulary of logits, vectorized (Highway). Pure and thread-safe; `n` at least 1, logits finite.
#pragma once
#include <cstddef>

namespace tenpak::compute {

/// ln of the sum of e^logit; relative error of the sum below 1e-6.
double log_sum_exp(const float* logits, std::size_t n);
/// Kullback-Leibler divergence sum p (ln p - ln q) in nats, p and q the softmax of `reference` and `logits`, whose
/// log_sum_exp are given.
double kl_divergence(const float* reference, double reference_total, const float* logits, double total, std::size_t n);
/// Index of the largest; the first one of equals.
std::size_t argmax(const float* logits, std::size_t n);

}  // namespace tenpak::compute
