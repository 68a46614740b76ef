// AVX-512 with VNNI, and with BF16: 512-bit registers, 32 of them. A panel's 16 rows are one register.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../linear_internal.h"
#include "../linear_pack.h"

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
#define AVX512 __attribute__((target(FEATURES)))
#define AVX512BF16 __attribute__((target(FEATURES ",avx512bf16")))
#define TILE static inline __attribute__((always_inline, target(FEATURES))) void
#define TILE_BF16 static inline __attribute__((always_inline, target(FEATURES ",avx512bf16"))) void

/// As in the AVX2 kernels.
#define FETCH_AHEAD(panel, line) \
    _mm_prefetch( \
        (const char *)t->weights + (panel) * t->weights_stride + t->ahead + (line) * t->ahead_step, _MM_HINT_T0)

// A tile goes on with the sums of the inputs before its own, so that a row's sum is one chain of multiply-adds however
// the inputs are divided; the division depends on the number of rows.

/// Loads a tile's sums into registers.
TILE load_sums(const cscx_tile *t, __m512 *sum, const int panels, const int height) {
    UNROLL for (int j = 0; j < panels * height; j++) {
        sum[j] = _mm512_loadu_ps(t->sums + j / height * t->sums_stride + j % height * 16);
    }
}

/// Stores the registers of a tile as its sums.
TILE store_sums(const cscx_tile *t, const __m512 *sum, const int panels, const int height) {
    UNROLL for (int j = 0; j < panels * height; j++) {
        _mm512_storeu_ps(t->sums + j / height * t->sums_stride + j % height * 16, sum[j]);
    }
}

TILE tile_f32(const cscx_tile *t, const int panels, const int height) {
    __m512 sum[24];
    const float *x = t->x;
    load_sums(t, sum, panels, height);
    for (size_t c = 0; c < t->columns; c++, x += height) {
        __m512 w[4];
        UNROLL for (int p = 0; p < panels; p++) {
            const uint8_t *const from = t->weights + p * t->weights_stride + c * 64;
            FETCH_AHEAD(p, c);
            w[p] = _mm512_loadu_ps(from);
        }
        UNROLL for (int i = 0; i < height; i++) {
            const __m512 value = _mm512_set1_ps(x[i]);
            UNROLL for (int p = 0; p < panels; p++) {
                sum[p * height + i] = _mm512_fmadd_ps(w[p], value, sum[p * height + i]);
            }
        }
    }
    store_sums(t, sum, panels, height);
}

TILE tile_bf16(const cscx_tile *t, const int panels, const int height) {
    __m512 sum[24];
    const float *x = t->x;
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    load_sums(t, sum, panels, height);
    for (size_t c = 0; c < t->columns; c += 2, x += 2 * height) {
        __m512 even[4], odd[4];
        UNROLL for (int p = 0; p < panels; p++) {
            const uint8_t *const from = t->weights + p * t->weights_stride + c * 32;
            FETCH_AHEAD(p, c / 2);
            const __m512i w = _mm512_loadu_si512(from);
            even[p] = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
            odd[p] = _mm512_castsi512_ps(_mm512_and_si512(w, high));
        }
        UNROLL for (int i = 0; i < height; i++) {
            const __m512 first = _mm512_set1_ps(x[i]), second = _mm512_set1_ps(x[height + i]);
            UNROLL for (int p = 0; p < panels; p++) {
                __m512 *const s = &sum[p * height + i];
                *s = _mm512_fmadd_ps(odd[p], second, _mm512_fmadd_ps(even[p], first, *s));
            }
        }
    }
    store_sums(t, sum, panels, height);
}

/// As tile_bf16, for activations that are bfloat16 pairs too.
TILE_BF16 tile_bf16_pairs(const cscx_tile *t, const int panels, const int height) {
    __m512 sum[24];
    const int32_t *x = t->x;
    load_sums(t, sum, panels, height);
    for (size_t c = 0; c < t->columns; c += 2, x += height) {
        __m512i w[4];
        UNROLL for (int p = 0; p < panels; p++) {
            const uint8_t *const from = t->weights + p * t->weights_stride + c * 32;
            FETCH_AHEAD(p, c / 2);
            w[p] = _mm512_loadu_si512(from);
        }
        UNROLL for (int i = 0; i < height; i++) {
            const __m512bh value = (__m512bh)_mm512_set1_epi32(x[i]);
            UNROLL for (int p = 0; p < panels; p++) {
                sum[p * height + i] = _mm512_dpbf16_ps(sum[p * height + i], (__m512bh)w[p], value);
            }
        }
    }
    store_sums(t, sum, panels, height);
}

/// Adds the integer sums of a group, less `offset` · Σx, times its scales, to the tile's sums.
TILE add_group(
    const cscx_tile *t, size_t group, const __m512i *dots, int offset, const int panels, const int height) {
    UNROLL for (int p = 0; p < panels; p++) {
        __m512 w = _mm512_set1_ps(1);
        if (t->scales) {
            const uint16_t *const scales = t->scales + p * t->scales_stride + group / t->groups_per_scale * 16;
            const __m512i halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)scales));
            w = _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
        }
        UNROLL for (int i = 0; i < height; i++) {
            const __m512i excess = _mm512_set1_epi32(offset * t->x_sums[group * height + i]);
            const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(dots[p * height + i], excess));
            const __m512 scale = _mm512_mul_ps(w, _mm512_set1_ps(t->x_scales[group * height + i]));
            float *const out = t->sums + p * t->sums_stride + i * 16;
            _mm512_storeu_ps(out, _mm512_fmadd_ps(dot, scale, _mm512_loadu_ps(out)));
        }
    }
}

// vpdpbusd multiplies unsigned by signed bytes, so the weights are raised by 128 and 128 · Σx is taken off.
TILE tile_int8(const cscx_tile *t, const int panels, const int height) {
    const __m512i raise = _mm512_set1_epi8((char)0x80);
    const int32_t *x = t->x;
    for (size_t start = 0, g = 0; start < t->columns; start += t->group, g++) {
        const size_t end = start + t->group < t->columns ? start + t->group : t->columns;
        __m512i dot[24];
        UNROLL for (int j = 0; j < panels * height; j++) { dot[j] = _mm512_setzero_si512(); }
        for (size_t c = start; c < end; c += 4, x += height) {
            __m512i w[4];
            UNROLL for (int p = 0; p < panels; p++) {
                const uint8_t *const from = t->weights + p * t->weights_stride + c * 16;
                FETCH_AHEAD(p, c / 4);
                w[p] = _mm512_xor_si512(_mm512_loadu_si512(from), raise);
            }
            UNROLL for (int i = 0; i < height; i++) {
                const __m512i value = _mm512_set1_epi32(x[i]);
                UNROLL for (int p = 0; p < panels; p++) {
                    dot[p * height + i] = _mm512_dpbusd_epi32(dot[p * height + i], w[p], value);
                }
            }
        }
        add_group(t, g, dot, 128, panels, height);
    }
}

TILE tile_int4(const cscx_tile *t, const int panels, const int height) {
    const __m512i low = _mm512_set1_epi8(15);
    const int32_t *x = t->x;
    for (size_t start = 0, g = 0; start < t->columns; start += 32, g++) {
        const size_t end = start + 32 < t->columns ? start + 32 : t->columns;
        __m512i dot[24];
        UNROLL for (int j = 0; j < panels * height; j++) { dot[j] = _mm512_setzero_si512(); }
        for (size_t c = start; c < end; c += 8, x += 2 * height) {
            __m512i lows[4], highs[4];
            UNROLL for (int p = 0; p < panels; p++) {
                const uint8_t *const from = t->weights + p * t->weights_stride + c * 8;
                FETCH_AHEAD(p, c / 8);
                const __m512i w = _mm512_loadu_si512(from);
                lows[p] = _mm512_and_si512(w, low);
                highs[p] = _mm512_and_si512(_mm512_srli_epi16(w, 4), low);
            }
            UNROLL for (int i = 0; i < height; i++) {
                const __m512i first = _mm512_set1_epi32(x[i]), second = _mm512_set1_epi32(x[height + i]);
                UNROLL for (int p = 0; p < panels; p++) {
                    __m512i *const d = &dot[p * height + i];
                    *d = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(*d, lows[p], first), highs[p], second);
                }
            }
        }
        add_group(t, g, dot, 8, panels, height);
    }
}

#define CASE(kernel, panels, height) case (panels) * 16 + (height): kernel(t, panels, height); break;
#define HEIGHTS(kernel, panels) \
    CASE(kernel, panels, 1) CASE(kernel, panels, 2) CASE(kernel, panels, 3) CASE(kernel, panels, 4) \
    CASE(kernel, panels, 5) CASE(kernel, panels, 6) CASE(kernel, panels, 7) CASE(kernel, panels, 8) \
    CASE(kernel, panels, 9) CASE(kernel, panels, 10) CASE(kernel, panels, 11) CASE(kernel, panels, 12)
#define DISPATCH(kernel) \
    switch (panels * 16 + height) { HEIGHTS(kernel, 1) HEIGHTS(kernel, 2) CASE(kernel, 4, 1) }

AVX512 static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    switch (format) {
    case cscx_format_f32: DISPATCH(tile_f32) break;
    case cscx_format_bf16: DISPATCH(tile_bf16) break;
    case cscx_format_int8: DISPATCH(tile_int8) break;
    case cscx_format_int4: DISPATCH(tile_int4) break;
    }
}

AVX512BF16 static void tile_with_bf16(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    if (format != cscx_format_bf16) {
        tile(format, t, panels, height);
        return;
    }
    DISPATCH(tile_bf16_pairs)
}

AVX512 static void quantise(const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums) {
    quantise_groups(x, columns, group, q, scales, sums);
}

AVX512 static void pack(const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t last) {
    pack_panel(w, source, type, first, last);
}

#define ALL_HEIGHTS {0, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}
#define PANELS {ALL_HEIGHTS, ALL_HEIGHTS, ALL_HEIGHTS, ALL_HEIGHTS}

const cscx_linear_kernels cscx_linear_avx512 = {
    .tile = tile, .quantise = quantise, .pack = pack, .heights = {12, 12, 12, 12}, .panels = PANELS,
};

const cscx_linear_kernels cscx_linear_avx512bf16 = {
    .tile = tile_with_bf16,
    .quantise = quantise,
    .pack = pack,
    .rounds_to_bf16 = true,
    .heights = {12, 12, 12, 12},
    .panels = PANELS,
};
#endif
