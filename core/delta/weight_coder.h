// SPDX-License-Identifier: Apache-2.0
// A block of floating-point weights as bytes, given a prediction ("difference") or nothing ("standalone").
// Payload layout: FORMAT.md "Weights payload".
#pragma once
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/float_layout.h"
#include "core/delta/prediction.h"

namespace tenpak::delta {

/// Where the bytes of a payload go; for estimates from samples.
struct WeightCost {
    std::size_t table_bytes = 0;  ///< header, model and coder states: once a block, whatever its length
    double data_bytes = 0;        ///< grows with the number of weights
    double total() const { return static_cast<double>(table_bytes) + data_bytes; }
};

/// What the payload would cost, without writing it (within rounding: some bytes). No prediction: standalone.
/// `raw` holds whole weights. Thread-safe.
WeightCost weight_cost(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind);

/// Appends the payload to `out`; false where the block has more kinds of values than the format holds (possible without
/// a prediction only: more than 256 combinations of sign and exponent).
bool encode_weights(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind, Bytes& out);

/// A block once analysed: the cost is known, and the payload can be written without counting again. Keeps the spans.
class WeightEncoder {
   public:
    WeightEncoder(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind);
    ~WeightEncoder();
    WeightEncoder(const WeightEncoder&) = delete;
    WeightEncoder& operator=(const WeightEncoder&) = delete;
    /// False: cost() is infinite and write() must not be called (see encode_weights).
    bool possible() const { return cost_.data_bytes < 1e300; }
    const WeightCost& cost() const { return cost_; }
    /// `lanes`: number of coder states, a power of two up to kMaxLanes; 0: as many as pay. Others are for tests.
    void write(Bytes& out, unsigned lanes = 0) const;

   private:
    struct Analysis;
    Analysis* analysis_;
    WeightCost cost_;
};

/// Fills `raw`. The payload may be hostile: kMalformed, never a crash. It is accepted only if it is used up exactly.
Status decode_weights(std::span<const std::byte> stored, const Prediction& prediction, std::span<std::byte> raw);

}  // namespace tenpak::delta
