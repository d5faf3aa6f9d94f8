/* SPDX-License-Identifier: Apache-2.0
 * A block as the GPU decodes it: one record and its part of an image that is uploaded in one piece. Made from stored
 * blocks by core/delta/gpu_blocks.h, which has checked everything; the kernel still never leaves its buffers. Plain C. */
#ifndef TENPAK_COMPUTE_CUDA_WEIGHT_BLOCK_H
#define TENPAK_COMPUTE_CUDA_WEIGHT_BLOCK_H
#include <stdint.h>

/* How a block comes about. */
#define TENPAK_BLOCK_PREDICTED 0 /* it is its prediction ("identical") */
#define TENPAK_BLOCK_STORED 1    /* its bytes lie in the image ("raw") */
#define TENPAK_BLOCK_WEIGHTS 2   /* a weights payload (core/delta/FORMAT.md) */

/* What chooses a weight's context. */
#define TENPAK_KEYS_NONE 0
#define TENPAK_KEYS_EXPONENT 1
#define TENPAK_KEYS_GIVEN 2

/* Offsets in bytes; all parts of the image lie at multiples of 4. A weights block's part of the image:
 *   header  symbols[entries] of uint32: first slot | code << 12 | frequency << 20, each context's in ascending order
 *           context_begin[contexts + 1] of uint32: where its symbols begin
 *           first[contexts][128] of uint8: number (within the context) of the symbol that holds slot j << (precision - 7)
 *           context_of[keys] of uint8 (1, 128 or 2^exponent bits), filled up to a multiple of 4
 *           begin[256] of uint32, info[256] of uint32: by code; raw bits | negative << 8 | kept << 9 | absolute << 10
 *   words   states of uint32, then words of uint16 */
struct tenpak_weight_block {
    uint64_t image_offset;      /* header, or the stored bytes */
    uint64_t words_offset;      /* in the image */
    uint64_t prediction_offset; /* in the buffer of predictions */
    uint64_t keys_offset;       /* in the buffer of keys */
    uint64_t output_offset;     /* in the output */
    uint64_t bytes;             /* decoded */
    uint32_t words;             /* behind the states */
    uint32_t entries, contexts, keys_count;
    uint8_t kind, keys, weight_bytes, lanes_log2;
    uint8_t precision, dropped, mantissa, most_raw_bits; /* mantissa: after the dropped bits */
    uint32_t sign;
};

/* Bytes of a weights block's header. */
#ifdef __CUDACC__
__host__ __device__
#endif
static inline uint32_t tenpak_weight_header_bytes(uint32_t entries, uint32_t contexts, uint32_t keys_count) {
    return 4 * entries + 4 * (contexts + 1) + 128 * contexts + (keys_count + 3) / 4 * 4 + 2048;
}

#endif
