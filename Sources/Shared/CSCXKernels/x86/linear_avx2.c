// AVX2 with FMA: 256-bit registers, 16 of them. A panel's 16 rows are two registers.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../linear_internal.h"
#include "../linear_pack.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define TILE static inline __attribute__((always_inline, target("avx2,fma,f16c"))) void

/// Prefetches the weights that come after those at `line` (in units of 64 bytes), while these are multiplied.
#define FETCH_AHEAD(panel, line) \
    _mm_prefetch( \
        (const char *)t->weights + (panel) * t->weights_stride + t->ahead + (line) * t->ahead_step, _MM_HINT_T0)

/// Loads a tile's sums into registers: as in the AVX-512 kernels, a tile goes on with the sums of the inputs before its
/// own.
TILE load_sums(const cscx_tile *t, __m256 *sum, const int panels, const int height) {
    UNROLL for (int j = 0; j < panels * height * 2; j++) {
        sum[j] = _mm256_loadu_ps(t->sums + j / (height * 2) * t->sums_stride + j % (height * 2) * 8);
    }
}

/// Stores the registers of a tile as its sums.
TILE store_sums(const cscx_tile *t, const __m256 *sum, const int panels, const int height) {
    UNROLL for (int j = 0; j < panels * height * 2; j++) {
        _mm256_storeu_ps(t->sums + j / (height * 2) * t->sums_stride + j % (height * 2) * 8, sum[j]);
    }
}

TILE tile_f32(const cscx_tile *t, const int panels, const int height) {
    __m256 sum[12];
    const float *x = t->x;
    load_sums(t, sum, panels, height);
    for (size_t c = 0; c < t->columns; c++, x += height) {
        UNROLL for (int p = 0; p < panels; p++) {
            const float *const w = (const float *)(t->weights + p * t->weights_stride) + c * 16;
            FETCH_AHEAD(p, c);
            const __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8);
            UNROLL for (int i = 0; i < height; i++) {
                const __m256 value = _mm256_broadcast_ss(x + i);
                __m256 *const s = &sum[(p * height + i) * 2];
                s[0] = _mm256_fmadd_ps(w0, value, s[0]);
                s[1] = _mm256_fmadd_ps(w1, value, s[1]);
            }
        }
    }
    store_sums(t, sum, panels, height);
}

TILE tile_bf16(const cscx_tile *t, const int panels, const int height) {
    __m256 sum[12];
    const float *x = t->x;
    const __m256i high = _mm256_set1_epi32((int)0xffff0000);
    load_sums(t, sum, panels, height);
    for (size_t c = 0; c < t->columns; c += 2, x += 2 * height) {
        UNROLL for (int p = 0; p < panels; p++) {
            const uint8_t *const w = t->weights + p * t->weights_stride + c * 32;
            FETCH_AHEAD(p, c / 2);
            const __m256i w0 = _mm256_loadu_si256((const __m256i *)w);
            const __m256i w1 = _mm256_loadu_si256((const __m256i *)(w + 32));
            const __m256 even0 = _mm256_castsi256_ps(_mm256_slli_epi32(w0, 16));
            const __m256 even1 = _mm256_castsi256_ps(_mm256_slli_epi32(w1, 16));
            UNROLL for (int i = 0; i < height; i++) {
                const __m256 value = _mm256_broadcast_ss(x + i);
                __m256 *const s = &sum[(p * height + i) * 2];
                s[0] = _mm256_fmadd_ps(even0, value, s[0]);
                s[1] = _mm256_fmadd_ps(even1, value, s[1]);
            }
            const __m256 odd0 = _mm256_castsi256_ps(_mm256_and_si256(w0, high));
            const __m256 odd1 = _mm256_castsi256_ps(_mm256_and_si256(w1, high));
            UNROLL for (int i = 0; i < height; i++) {
                const __m256 value = _mm256_broadcast_ss(x + height + i);
                __m256 *const s = &sum[(p * height + i) * 2];
                s[0] = _mm256_fmadd_ps(odd0, value, s[0]);
                s[1] = _mm256_fmadd_ps(odd1, value, s[1]);
            }
        }
    }
    store_sums(t, sum, panels, height);
}

/// Eight of a group's scales, or ones.
static inline __attribute__((always_inline, target("avx2,fma,f16c"))) __m256 scales8(const uint16_t *scales) {
    const __m128i halves = _mm_loadu_si128((const __m128i *)scales);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/// Adds the integer sums of a group, times its scales, to the tile's sums.
TILE add_group(const cscx_tile *t, size_t group, const __m256i *dots, const int panels, const int height) {
    UNROLL for (int p = 0; p < panels; p++) {
        __m256 w0, w1;
        if (t->scales) {
            const uint16_t *const scales = t->scales + p * t->scales_stride + group / t->groups_per_scale * 16;
            w0 = scales8(scales);
            w1 = scales8(scales + 8);
        } else {
            w0 = w1 = _mm256_set1_ps(1);
        }
        UNROLL for (int i = 0; i < height; i++) {
            const __m256 scale = _mm256_broadcast_ss(t->x_scales + group * height + i);
            const __m256i *const dot = &dots[(p * height + i) * 2];
            float *const out = t->sums + p * t->sums_stride + i * 16;
            const __m256 s0 = _mm256_mul_ps(scale, w0), s1 = _mm256_mul_ps(scale, w1);
            _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[0]), s0, _mm256_loadu_ps(out)));
            _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[1]), s1, _mm256_loadu_ps(out + 8)));
        }
    }
}

// vpmaddubsw multiplies unsigned by signed bytes: |w| · (x with w's sign). 2 · 127 · 127 fits its 16-bit sums.
TILE tile_int8(const cscx_tile *t, const int panels, const int height) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int32_t *x = t->x;
    for (size_t start = 0, g = 0; start < t->columns; start += t->group, g++) {
        const size_t end = start + t->group < t->columns ? start + t->group : t->columns;
        __m256i dot[12];
        UNROLL for (int j = 0; j < panels * height * 2; j++) { dot[j] = _mm256_setzero_si256(); }
        for (size_t c = start; c < end; c += 4, x += height) {
            UNROLL for (int p = 0; p < panels; p++) {
                const uint8_t *const w = t->weights + p * t->weights_stride + c * 16;
                FETCH_AHEAD(p, c / 4);
                const __m256i w0 = _mm256_loadu_si256((const __m256i *)w);
                const __m256i w1 = _mm256_loadu_si256((const __m256i *)(w + 32));
                const __m256i size0 = _mm256_abs_epi8(w0), size1 = _mm256_abs_epi8(w1);
                UNROLL for (int i = 0; i < height; i++) {
                    const __m256i value = _mm256_set1_epi32(x[i]);
                    __m256i *const d = &dot[(p * height + i) * 2];
                    const __m256i pair0 = _mm256_maddubs_epi16(size0, _mm256_sign_epi8(value, w0));
                    const __m256i pair1 = _mm256_maddubs_epi16(size1, _mm256_sign_epi8(value, w1));
                    d[0] = _mm256_add_epi32(d[0], _mm256_madd_epi16(pair0, ones));
                    d[1] = _mm256_add_epi32(d[1], _mm256_madd_epi16(pair1, ones));
                }
            }
        }
        add_group(t, g, dot, panels, height);
    }
}

// Codes 0 … 15 times signed bytes: eight sums of pairs, 8 · 2 · 15 · 127 = 30480, fit 16 bits, so the pairs of a
// whole group of 32 are added before they are widened. Codes are value + 8: 8 · Σx is taken off.
TILE tile_int4(const cscx_tile *t, const int panels, const int height) {
    const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(15);
    const int32_t *x = t->x;
    for (size_t start = 0, g = 0; start < t->columns; start += 32, g++) {
        const size_t end = start + 32 < t->columns ? start + 32 : t->columns;
        __m256i dot[12];
        UNROLL for (int j = 0; j < panels * height * 2; j++) { dot[j] = _mm256_setzero_si256(); }
        for (size_t c = start; c < end; c += 8, x += 2 * height) {
            UNROLL for (int p = 0; p < panels; p++) {
                const uint8_t *const w = t->weights + p * t->weights_stride + c * 8;
                FETCH_AHEAD(p, c / 8);
                const __m256i w0 = _mm256_loadu_si256((const __m256i *)w);
                const __m256i w1 = _mm256_loadu_si256((const __m256i *)(w + 32));
                const __m256i low0 = _mm256_and_si256(w0, low), low1 = _mm256_and_si256(w1, low);
                const __m256i high0 = _mm256_and_si256(_mm256_srli_epi16(w0, 4), low);
                const __m256i high1 = _mm256_and_si256(_mm256_srli_epi16(w1, 4), low);
                UNROLL for (int i = 0; i < height; i++) {
                    const __m256i first = _mm256_set1_epi32(x[i]), second = _mm256_set1_epi32(x[height + i]);
                    __m256i *const d = &dot[(p * height + i) * 2];
                    d[0] = _mm256_add_epi16(d[0], _mm256_maddubs_epi16(low0, first));
                    d[1] = _mm256_add_epi16(d[1], _mm256_maddubs_epi16(low1, first));
                    d[0] = _mm256_add_epi16(d[0], _mm256_maddubs_epi16(high0, second));
                    d[1] = _mm256_add_epi16(d[1], _mm256_maddubs_epi16(high1, second));
                }
            }
        }
        UNROLL for (int j = 0; j < panels * height * 2; j++) {
            const __m256i excess = _mm256_set1_epi32(8 * t->x_sums[g * height + j / 2 % height]);
            dot[j] = _mm256_sub_epi32(_mm256_madd_epi16(dot[j], ones), excess);
        }
        add_group(t, g, dot, panels, height);
    }
}

#define CASE(kernel, panels, height) case (panels) * 16 + (height): kernel(t, panels, height); break;
#define HEIGHTS_TO_4(kernel) \
    CASE(kernel, 1, 1) CASE(kernel, 1, 2) CASE(kernel, 1, 3) CASE(kernel, 1, 4) CASE(kernel, 2, 1) CASE(kernel, 2, 2)
#define HEIGHTS_TO_6(kernel) \
    HEIGHTS_TO_4(kernel) CASE(kernel, 1, 5) CASE(kernel, 1, 6) CASE(kernel, 2, 3) CASE(kernel, 4, 1)

AVX2 static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    switch (format) {
    case cscx_format_f32: switch (panels * 16 + height) { HEIGHTS_TO_6(tile_f32) } break;
    case cscx_format_bf16: switch (panels * 16 + height) { HEIGHTS_TO_6(tile_bf16) } break;
    case cscx_format_int8: switch (panels * 16 + height) { HEIGHTS_TO_4(tile_int8) } break;
    case cscx_format_int4: switch (panels * 16 + height) { HEIGHTS_TO_6(tile_int4) } break;
    }
}

AVX2 static void quantise(const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums) {
    quantise_groups(x, columns, group, q, scales, sums);
}

AVX2 static void pack(const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t last) {
    pack_panel(w, source, type, first, last);
}

const cscx_linear_kernels cscx_linear_avx2 = {
    .tile = tile,
    .quantise = quantise,
    .pack = pack,
    .heights = {6, 6, 4, 6},
    .panels = {{0, 4, 2, 2, 1, 1, 1}, {0, 4, 2, 1, 1, 1, 1}, {0, 2, 2, 1, 1}, {0, 2, 2, 1, 1, 1, 1}},
};
#endif
