// SPDX-License-Identifier: Apache-2.0
// One way to store a fine-tune, run on one pair: bytes stored, seconds, and whether what came back is the same.
#pragma once
#include <map>
#include <string>

#include "tests/bench/pairs.h"

namespace tenpak::bench {

struct Figure {
    double bytes = 0;                   ///< of everything that must be kept
    double encode_s = 0, decode_s = 0;  ///< CPU of one thread, but wall clock for programs of others
    bool lossless = false;              ///< decoded and compared
    std::string absent{};               ///< why there is no figure
    bool ok() const { return absent.empty(); }
};
inline Figure no_figure(std::string why) {
    Figure f;
    f.absent = std::move(why);
    return f;
}

/// The built command line, one thread: the whole .tnpk on disk, rebuilt with every hash checked and compared with the
/// fine-tune. Seconds are the programs' CPU times: reading, hashing and the check after writing included.
Figure whole_artifact(const Pair& p, const fs::path& work);
/// The codecs alone, block by block in memory, predicting from the base as it is: no search, no recovery of a LoRA, no
/// files.
Figure codecs_alone(const Pair& p);

/// TX, BitX, FM: in memory, tensor by tensor, plus Pair::rest.
std::map<std::string, Figure> plane_peers(const Pair& p);
/// zstd --patch-from in this process (level 19 up to 40 MB, 9 above, window over both files), xdelta3 -9 as a program.
Figure patch_from(const Pair& p);
Figure xdelta3(const Pair& p, const fs::path& work);
/// zipnn, lmzip, sparse-llm through pypi_peers.py and the Python at $TENPAK_PEERS_PYTHON.
std::map<std::string, Figure> pypi_peers(const Pair& p);

}  // namespace tenpak::bench
