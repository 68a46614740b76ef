// Advanced SIMD: 128-bit registers, 32 of them. A panel's 16 rows are four.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../ring_internal.h"

#define TILE static inline __attribute__((always_inline)) void

TILE ring_tile(const cscx_tile *t, const int height) {
    uint32x4_t sums[16];  // [height][register]
    const uint32_t *z = t->x;
    const uint32_t *w = (const uint32_t *)t->weights;
    UNROLL for (int i = 0; i < height * 4; i++) { sums[i] = vdupq_n_u32(0); }
    for (size_t c = 0; c < t->columns; c += 4, z += 4 * height, w += 16) {
        UNROLL for (int r = 0; r < 4; r++) {
            // A lane has the four bytes of a row: each in turn is moved to the top, and back with its sign.
            const int32x4_t rows = vreinterpretq_s32_u32(vld1q_u32(w + 4 * r));
            const int32x4_t columns[4] = {
                vshrq_n_s32(vshlq_n_s32(rows, 24), 24), vshrq_n_s32(vshlq_n_s32(rows, 16), 24),
                vshrq_n_s32(vshlq_n_s32(rows, 8), 24), vshrq_n_s32(rows, 24),
            };
            UNROLL for (int j = 0; j < 4; j++) {
                UNROLL for (int i = 0; i < height; i++) {
                    sums[i * 4 + r] = vmlaq_n_u32(sums[i * 4 + r], vreinterpretq_u32_s32(columns[j]), z[4 * i + j]);
                }
            }
        }
    }
    UNROLL for (int i = 0; i < height * 4; i++) {
        vst1q_u32(t->ring_sums + 4 * i, vaddq_u32(vld1q_u32(t->ring_sums + 4 * i), sums[i]));
    }
}

static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)format;  // always int8
    (void)panels;  // always 1
    switch (height) {
    case 1: ring_tile(t, 1); break;
    case 2: ring_tile(t, 2); break;
    case 3: ring_tile(t, 3); break;
    case 4: ring_tile(t, 4); break;
    }
}

static void split(const uint32_t *z, size_t quads, size_t height, uint32_t *words) {
    for (size_t q = 0; q < quads; q++) { memcpy(words + q * 4 * height, z + 4 * q, 16); }
}

const cscx_ring_kernels cscx_ring_neon = {
    .tile = tile,
    .split = split,
    .height = 4,
    .panels = {0, 1, 1, 1, 1},
};
#endif
