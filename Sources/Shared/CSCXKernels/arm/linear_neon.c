// Advanced SIMD: 128-bit registers, 32 of them. A panel's 16 rows are four registers.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../linear_internal.h"
#include "../linear_pack.h"

#define TILE static inline __attribute__((always_inline)) void

// As in the AVX-512 kernels, a tile goes on with the sums of the inputs before its own.

/// Loads a tile's sums into registers.
TILE load_sums(const cscx_tile *t, float32x4_t *sum, const int height) {
    UNROLL for (int j = 0; j < height * 4; j++) { sum[j] = vld1q_f32(t->sums + 4 * j); }
}

/// Stores the registers of a tile as its sums.
TILE store_sums(const cscx_tile *t, const float32x4_t *sum, const int height) {
    UNROLL for (int j = 0; j < height * 4; j++) { vst1q_f32(t->sums + 4 * j, sum[j]); }
}

TILE tile_f32(const cscx_tile *t, const int height) {
    float32x4_t sum[24];
    const float *x = t->x, *w = (const float *)t->weights;
    load_sums(t, sum, height);
    for (size_t c = 0; c < t->columns; c++, x += height, w += 16) {
        UNROLL for (int q = 0; q < 4; q++) {
            const float32x4_t rows = vld1q_f32(w + 4 * q);
            UNROLL for (int i = 0; i < height; i++) { sum[i * 4 + q] = vfmaq_n_f32(sum[i * 4 + q], rows, x[i]); }
        }
    }
    store_sums(t, sum, height);
}

TILE tile_bf16(const cscx_tile *t, const int height) {
    float32x4_t sum[24];
    const float *x = t->x;
    const uint32_t *w = (const uint32_t *)t->weights;
    const uint32x4_t high = vdupq_n_u32(0xffff0000);
    load_sums(t, sum, height);
    for (size_t c = 0; c < t->columns; c += 2, x += 2 * height, w += 16) {
        UNROLL for (int q = 0; q < 4; q++) {
            const uint32x4_t pairs = vld1q_u32(w + 4 * q);
            const float32x4_t even = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
            const float32x4_t odd = vreinterpretq_f32_u32(vandq_u32(pairs, high));
            UNROLL for (int i = 0; i < height; i++) {
                float32x4_t *const s = &sum[i * 4 + q];
                *s = vfmaq_n_f32(vfmaq_n_f32(*s, even, x[i]), odd, x[height + i]);
            }
        }
    }
    store_sums(t, sum, height);
}

/// Adds the products of four rows' quads with one token's quad.
static inline __attribute__((always_inline)) int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t x) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, w, x);
#else
    // Pairs of a row's four products, then the row.
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

TILE tile_integer(const cscx_tile *t, const bool int4, const int height) {
    const int32_t *x = t->x;
    const uint8_t *w = t->weights;
    for (size_t start = 0, g = 0; start < t->columns; start += t->group, g++) {
        const size_t end = start + t->group < t->columns ? start + t->group : t->columns;
        int32x4_t dots[16];
        UNROLL for (int j = 0; j < height * 4; j++) { dots[j] = vdupq_n_s32(0); }
        for (size_t c = start; c < end; c += int4 ? 8 : 4, x += int4 ? 2 * height : height, w += 64) {
            UNROLL for (int q = 0; q < 4; q++) {
                const uint8x16_t bytes = vld1q_u8(w + 16 * q);
                const int8x16_t eight = vdupq_n_s8(8);
                const int8x16_t first = int4
                    ? vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), eight)
                    : vreinterpretq_s8_u8(bytes);
                const int8x16_t second = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), eight);
                UNROLL for (int i = 0; i < height; i++) {
                    int32x4_t *const d = &dots[i * 4 + q];
                    *d = dot(*d, first, vreinterpretq_s8_s32(vdupq_n_s32(x[i])));
                    if (int4) { *d = dot(*d, second, vreinterpretq_s8_s32(vdupq_n_s32(x[height + i]))); }
                }
            }
        }
        UNROLL for (int q = 0; q < 4; q++) {
            float32x4_t scale = vdupq_n_f32(1);
            if (t->scales) {
                const uint16x4_t halves = vld1_u16(t->scales + g / t->groups_per_scale * 16 + 4 * q);
                scale = vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
            }
            UNROLL for (int i = 0; i < height; i++) {
                float *const out = t->sums + i * 16 + 4 * q;
                const float32x4_t both = vmulq_n_f32(scale, t->x_scales[g * height + i]);
                vst1q_f32(out, vfmaq_f32(vld1q_f32(out), vcvtq_f32_s32(dots[i * 4 + q]), both));
            }
        }
    }
}

#define TO_4(call) case 1: call(1); break; case 2: call(2); break; case 3: call(3); break; case 4: call(4); break;
#define TO_6(call) TO_4(call) case 5: call(5); break; case 6: call(6); break;
#define F32(height) tile_f32(t, height)
#define BF16(height) tile_bf16(t, height)
#define INT8(height) tile_integer(t, false, height)
#define INT4(height) tile_integer(t, true, height)

static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)panels;  // always 1
    switch (format) {
    case cscx_format_f32: switch (height) { TO_6(F32) } break;
    case cscx_format_bf16: switch (height) { TO_6(BF16) } break;
    case cscx_format_int8: switch (height) { TO_4(INT8) } break;
    case cscx_format_int4: switch (height) { TO_4(INT4) } break;
    }
}

static void quantise(const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums) {
    quantise_groups(x, columns, group, q, scales, sums);
}

static void pack(const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t last) {
    pack_panel(w, source, type, first, last);
}

const cscx_linear_kernels cscx_linear_neon = {
    .tile = tile,
    .quantise = quantise,
    .pack = pack,
    .heights = {6, 6, 4, 4},
    .panels = {{0, 1, 1, 1, 1, 1, 1}, {0, 1, 1, 1, 1, 1, 1}, {0, 1, 1, 1, 1}, {0, 1, 1, 1, 1}},
};
#endif
