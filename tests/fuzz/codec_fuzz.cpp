// SPDX-License-Identifier: Apache-2.0
// Hostile payloads for every codec. First byte: which codec and shape; the rest: the payload. Half of the inputs are also
// taken as weights, encoded and decoded again: what was encoded must come back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "core/delta/codec.h"
#include "core/delta/lossy_codecs.h"
#include "core/delta/weight_coder.h"
#include "core/delta/weight_decode_bulk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace tenpak;
    using namespace tenpak::delta;
    if (size < 2) return 0;
    const unsigned choice = data[0];
    const std::span<const std::byte> payload(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    std::vector<const Codec*> codecs = all_codecs();
    codecs.insert(codecs.end(), lossy_codecs().begin(), lossy_codecs().end());
    const Codec& codec = *codecs[choice % codecs.size()];
    Bytes raw(4 * (1 + (choice >> 3) * 21)), base(raw.size());
    for (std::size_t i = 0; i < base.size(); ++i) base[i] = static_cast<std::byte>(i * 37 + choice);
    // Enough weights for whole rounds of the vector decoders now and then; both must agree.
    if (choice % 4 == 3) {
        std::vector<std::uint8_t> keys(raw.size() / 2);
        for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::uint8_t>(i * 11 + choice);
        Bytes other(raw.size());
        const Prediction p = choice % 8 == 3 ? Prediction{base, keys} : Prediction{base};
        const bool one = decode_weights(payload, p, raw).ok();
        choose_bulk_decoder("scalar");
        if (decode_weights(payload, p, other).ok() != one || (one && other != raw)) std::abort();
        choose_bulk_decoder("");
    }
    (void)codec.decode(payload, codec.predicts() ? std::span<const std::byte>(base) : std::span<const std::byte>{}, raw).ok();

    if ((choice & 1u) != 0) {
        const std::size_t n = std::min<std::size_t>(payload.size() / 8 * 4, 1024);
        if (n == 0) return 0;
        const DType type = (choice & 2u) != 0 ? DType::kF32 : (choice & 4u) != 0 ? DType::kBF16 : DType::kF16;
        const auto fine = payload.first(n), from = payload.subspan(n, n);
        const Encoded e = encode_smallest(fine, from, type);
        Bytes back(n);
        const bool ok = e.codec->decode(e.stored, e.codec->predicts() ? from : std::span<const std::byte>{}, back).ok();
        if (!ok || !std::equal(back.begin(), back.end(), fine.begin())) std::abort();
        // With and without keys, by the vector decoder and the scalar one.
        std::vector<std::uint8_t> keys(n / (type == DType::kF32 ? 4 : 2));
        for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::uint8_t>(from[i]) & (choice % 16 != 0 ? 0x87 : 0xff);
        for (const Prediction& p : {Prediction{from}, Prediction{from, keys}, Prediction{}}) {
            Bytes stored;
            if (!encode_weights(fine, p, *float_kind(type), stored)) continue;
            for (const char* decoder : {"", "scalar"}) {
                choose_bulk_decoder(decoder);
                std::fill(back.begin(), back.end(), std::byte{0});
                if (!decode_weights(stored, p, back).ok() || !std::equal(back.begin(), back.end(), fine.begin())) std::abort();
            }
            choose_bulk_decoder("");
        }
    }
    return 0;
}
