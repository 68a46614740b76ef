// Pages, jobs and the merge of splits; the baseline instance of the tile (SSE2 on x86-64, Advanced SIMD on arm64).

#if defined(__aarch64__)
#define CSCX_ROWS 4  // 32 registers
#else
#define CSCX_ROWS 2
#endif
#define CSCX_LANES 4
#define CSCX_NAME(name) name##_baseline
#include "vector.h"
#include "attention_kernels.h"

#include <stdlib.h>

static size_t padded_size(size_t head_size) { return (head_size + 15) / 16 * 16; }

size_t cscx_page_head_elements(size_t head_size) {
    return cscx_page_tokens * (head_size + padded_size(head_size));
}

void *cscx_page_create(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

void cscx_page_free(void *page) { free(page); }

// Rounds to nearest, ties to even; NaN stays NaN.
static uint16_t bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) { return (uint16_t)(bits >> 16 | 0x40); }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline void put(void *page, bool bf16, size_t index, float x) {
    if (bf16) { ((uint16_t *)page)[index] = bf16_of(x); } else { ((float *)page)[index] = x; }
}

void cscx_page_write(void *page, bool bf16, size_t kv_heads, size_t head_size, size_t first, size_t tokens,
                     const float *keys, const float *values, size_t stride) {
    const size_t padded = padded_size(head_size), elements = cscx_page_head_elements(head_size);
    for (size_t h = 0; h < kv_heads; h++) {
        for (size_t t = 0; t < tokens; t++) {
            const float *const k = keys + t * stride + h * head_size;
            const float *const v = values + t * stride + h * head_size;
            const size_t slot = first + t;
            const size_t k_start = h * elements + slot / 16 * 16 * head_size + slot % 16;
            const size_t v_start = h * elements + cscx_page_tokens * head_size + slot * 16;
            for (size_t d = 0; d < head_size; d++) { put(page, bf16, k_start + d * 16, k[d]); }
            for (size_t d = 0; d < padded; d++) {
                put(page, bf16, v_start + d / 16 * 16 * cscx_page_tokens + d % 16, d < head_size ? v[d] : 0);
            }
        }
    }
}

static size_t tiles(const cscx_attention *call) {
    const size_t rows = call->tokens * (call->heads / call->kv_heads);
    return (rows + cscx_attention_rows - 1) / cscx_attention_rows;
}

size_t cscx_attention_jobs(const cscx_attention *call) { return tiles(call) * call->kv_heads * call->splits; }

size_t cscx_attention_partials(const cscx_attention *call) {
    return cscx_attention_jobs(call) * cscx_attention_rows * (padded_size(call->head_size) + 2);
}

size_t cscx_attention_scratch(const cscx_attention *call) {
    const size_t padded = padded_size(call->head_size);
    // Queries, scores, sums, maxima, denominators by lane; a page's keys and values as float32.
    return cscx_attention_rows * (call->head_size + cscx_page_tokens + padded + 1 + 16)
        + (call->bf16 ? cscx_page_tokens * (call->head_size + padded) : 0);
}

// Jobs go through the splits of a tile, then the key-value heads, then the tiles from the last: the last tiles of a
// causal call see the most tokens, and long jobs should not come last.
cscx_attention_tile cscx_attention_tile_of(const cscx_attention *call, size_t job) {
    const size_t split = job % call->splits;
    const size_t index = tiles(call) - 1 - job / call->splits / call->kv_heads;
    const size_t group = call->heads / call->kv_heads;
    const size_t rows = call->tokens * group - index * cscx_attention_rows;
    cscx_attention_tile tile = {
        .kv_head = job / call->splits % call->kv_heads,
        .group = group,
        .first_row = index * cscx_attention_rows,
        .rows = rows < cscx_attention_rows ? rows : cscx_attention_rows,
        .padded = padded_size(call->head_size),
    };
    size_t unused;
    cscx_attention_visible(call, tile.first_row / group, &tile.begin, &unused);
    cscx_attention_visible(call, (tile.first_row + tile.rows - 1) / group, &unused, &tile.end);
    if (call->splits > 1) {
        // Splits meet at multiples of 16 tokens, where a block of keys begins.
        const size_t length = ((tile.end - tile.begin) / call->splits + 16) / 16 * 16;
        const size_t base = tile.begin / 16 * 16;
        const size_t begin = base + split * length, end = split + 1 == call->splits ? tile.end : begin + length;
        tile.begin = begin > tile.begin ? begin : tile.begin;
        tile.end = end < tile.end ? end : tile.end;
        tile.partial = call->partials + job * cscx_attention_rows * (tile.padded + 2);
    }
    return tile;
}

void cscx_attention_run(cscx_isa isa, const cscx_attention *call, size_t job, float *scratch) {
    const cscx_attention_tile tile = cscx_attention_tile_of(call, job);
    cscx_attention_function run = cscx_attention_tile_baseline;
#if defined(__x86_64__)
    if (isa == cscx_isa_avx2) { run = cscx_attention_tile_avx2; }
    if (isa >= cscx_isa_avx512) { run = cscx_attention_tile_avx512; }
#endif
    (void)isa;
    run(call, &tile, scratch);
}

void cscx_attention_merge(const cscx_attention *call) {
    for (size_t first = 0; first < cscx_attention_jobs(call); first += call->splits) {
        const cscx_attention_tile tile = cscx_attention_tile_of(call, first);
        const size_t width = tile.padded + 2;
        for (size_t r = 0; r < tile.rows; r++) {
            const float *const part = tile.partial + r * width;
            const size_t step = cscx_attention_rows * width;  // to the same row of the next split
            float top = part[tile.padded];
            for (size_t s = 1; s < call->splits; s++) { top = fmaxf(top, part[s * step + tile.padded]); }
            const size_t row = tile.first_row + r;
            float *const out = call->out + row / tile.group * call->out_stride
                + (tile.kv_head * tile.group + row % tile.group) * call->head_size;
            float sum = 0;
            memset(out, 0, call->head_size * sizeof(float));
            for (size_t s = 0; s < call->splits; s++) {
                const float *const p = part + s * step;
                const float weight = exp2f(p[tile.padded] - top);
                sum += weight * p[tile.padded + 1];
                for (size_t d = 0; d < call->head_size; d++) { out[d] += weight * p[d]; }
            }
            for (size_t d = 0; d < call->head_size; d++) { out[d] /= sum; }
        }
    }
}
