/* SPDX-License-Identifier: Apache-2.0
 * Part of the module's C ABI that runs models: a session on one device, memory, weights in the layout of layout.h, and lists of
 * commands. A list is queued as a whole; one that comes again (same operations, addresses and shapes) is replayed as a CUDA
 * graph. What differs from step to step (positions, lengths, cache addresses) therefore lies in the list's payload, which is
 * copied to the device before each run; commands name offsets in it. */
#ifndef TENPAK_COMPUTE_CUDA_COMMANDS_H
#define TENPAK_COMPUTE_CUDA_COMMANDS_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tenpak_cuda_weight_format {
    TENPAK_CUDA_WEIGHT_INT4 = 1,         /* w = (code - zero) * scale of its group */
    TENPAK_CUDA_WEIGHT_INT8_GROUP = 2,   /* w = code * scale of its group */
    TENPAK_CUDA_WEIGHT_INT8_CHANNEL = 3, /* int8 x int8, activations quantized per token */
    TENPAK_CUDA_WEIGHT_BF16 = 4,         /* dense, [n][stride] */
    TENPAK_CUDA_WEIGHT_FP16 = 5,
    TENPAK_CUDA_WEIGHT_FP32 = 6,
    TENPAK_CUDA_WEIGHT_NF4 = 7,           /* w = value of the code * scale of its group */
    TENPAK_CUDA_WEIGHT_INT4_RESIDUAL = 8, /* w = (4 * code + low - zero) * scale of its group */
    TENPAK_CUDA_WEIGHT_INT4_SPARSE = 9,   /* w = 8-bit code, or (code - 8) * multiple, times the scale of its group */
    TENPAK_CUDA_WEIGHT_FP8_CHANNEL = 10   /* e4m3 x e4m3, activations rounded per token; row_scales are 256 times the row's scale */
};

/* A weight in device memory. Must stay where it is (host) and as it is until all lists that name it have run. */
struct tenpak_cuda_weight {
    uint64_t serial; /* never used twice in a process */
    uint32_t format, n, k;
    uint32_t blocks;       /* quantized: column blocks of 64 */
    uint32_t stride;       /* dense: columns of a row, a multiple of 8 */
    uint32_t groups;       /* groups of a padded row; 1 for a scale per row */
    uint32_t group_shift;  /* columns of a group: 32 << group_shift; 31: a scale per row */
    float outlier_threshold; /* INT8_CHANNEL: activations of this magnitude and more are multiplied in fp32; 0: none */
    const void* codes;
    const uint16_t* scales;   /* fp16, relative to row_scales; place: layout.h scale_place */
    const uint8_t* zeros;     /* INT4, INT4_RESIDUAL: same places; null: all 8, 32. INT4_SPARSE: multiples */
    const float* row_scales;  /* [n padded to 32] */
    const float* bias;        /* [n] or null */
    const uint32_t* low;      /* INT4_SPARSE: [n padded to 32][blocks * 2], and two words */
    const uint32_t* columns;  /* [blocks * 64] the input column that meets each column, TENPAK_CUDA_NO_COLUMN: none; null: as they are.
                                 Weights with the same input share its operand where this is the same address. */
};

#define TENPAK_CUDA_NO_COLUMN 0xffffffffu

enum tenpak_cuda_op {
    TENPAK_CUDA_LINEAR = 1,     /* out[t][n] = in0[t][k] W^T + bias; n0 tokens */
    TENPAK_CUDA_RMS_NORM,       /* out = norm(in0) * (in1 + n2); n0 tokens, n1 dim, n2 whether 1 is added, f0 eps */
    TENPAK_CUDA_LAYER_NORM,     /* out = norm(in0) * in1 + in2 (or null); as above */
    TENPAK_CUDA_ROPE,           /* in place on out; in1 device inv_freq[n3 / 2]; n0 tokens, n1 heads, n2 head_dim, n3 rotated, n4 floats from token to token, n5: neighbours are pairs; f0 factor; payload: positions */
    TENPAK_CUDA_ATTENTION,      /* payload: jobs; n0 jobs, n1 heads, n2 kv_heads, n3 head_dim, n4 most tokens of a job, n5 at least the most positions, n6 window or 0; f0 scale, f1 softcap or 0 */
    TENPAK_CUDA_ACTIVATION_MUL, /* out = act(in0) * in1; size, n1 kind */
    TENPAK_CUDA_ACTIVATION,     /* out = act(in0) */
    TENPAK_CUDA_ADD,            /* out += in0; size */
    TENPAK_CUDA_SCALE,          /* out *= f0; size */
    TENPAK_CUDA_SOFTCAP,        /* out = f0 tanh(out / f0); size */
    TENPAK_CUDA_COPY,           /* payload: n0 tenpak_cuda_copy_job of at most `size` rows times floats */
    TENPAK_CUDA_GRAM,           /* out[k][k] += in0^T in0, in0[t][k]; in1: null or float [k] += sums of |in0|; n0 tokens, n1 k */
    TENPAK_CUDA_OPS
};
enum tenpak_cuda_activation { TENPAK_CUDA_SILU = 1, TENPAK_CUDA_GELU_TANH = 2, TENPAK_CUDA_GELU_ERF = 3 };

struct tenpak_cuda_command {
    uint32_t op;
    uint32_t payload; /* offset in bytes, a multiple of 16 */
    uint32_t n[8];
    uint64_t size;
    float f[2];
    const void* in[3];
    void* out;
    const struct tenpak_cuda_weight* weight;
    uint64_t weight_serial;
};

/* Queries at positions first .. first + tokens - 1 of one sequence. Its keys and values [position][kv_head][head_dim] lie in
 * pages of 2^page_shift positions, whose addresses are pairs (keys, values) in the payload. */
struct tenpak_cuda_attention_job {
    const float* q;
    float* out;
    uint32_t tokens, first;
    uint32_t pages; /* offset in the payload of { const float* keys; const float* values; }[] */
    uint32_t page_shift;
};
struct tenpak_cuda_copy_job {
    const float* from;
    float* to;
    uint32_t rows, columns, from_stride, to_stride;
};

struct tenpak_cuda_memory_use {
    uint64_t used, peak;       /* bytes this session allocated, workspace included */
    uint64_t workspace;
    uint64_t free_bytes, total_bytes; /* of the device, all programs */
    uint64_t graphs, graph_launches, launches;
};

struct tenpak_cuda_session;
/* Functions return 0, or a code and a text. TENPAK_CUDA_OUT_OF_MEMORY leaves the session usable; after the others it is not. */
enum tenpak_cuda_error { TENPAK_CUDA_OK = 0, TENPAK_CUDA_FAILED = 1, TENPAK_CUDA_OUT_OF_MEMORY = 2, TENPAK_CUDA_BAD_ARGUMENT = 3 };

struct tenpak_cuda_compute {
    int (*open)(int32_t device, struct tenpak_cuda_session** out, char* error, size_t error_size);
    void (*close)(struct tenpak_cuda_session*);
    int (*allocate)(struct tenpak_cuda_session*, uint64_t bytes, void** out, char* error, size_t error_size);
    void (*release)(struct tenpak_cuda_session*, void* memory);
    /* In the order of the calls and lists. `from` may be reused on return; download waits. */
    int (*upload)(struct tenpak_cuda_session*, const void* from, uint64_t bytes, void* to, char* error, size_t error_size);
    int (*download)(struct tenpak_cuda_session*, const void* from, uint64_t bytes, void* to, char* error, size_t error_size);
    int (*synchronize)(struct tenpak_cuda_session*, char* error, size_t error_size);
    int (*run)(struct tenpak_cuda_session*, const struct tenpak_cuda_command*, uint32_t count, const void* payload, uint32_t payload_bytes, char* error,
               size_t error_size);
    int (*memory)(struct tenpak_cuda_session*, struct tenpak_cuda_memory_use* out, char* error, size_t error_size);
    /* "cuBLASLt 13.0" or why there is none; valid as long as the session. */
    const char* (*dense_library)(struct tenpak_cuda_session*);
};
const struct tenpak_cuda_compute* tenpak_cuda_get_compute(void);

#ifdef __cplusplus
}
#endif
#endif
