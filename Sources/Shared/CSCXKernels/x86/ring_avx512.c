// AVX-512 with VNNI: 512-bit registers, 32 of them. A panel's 16 rows are one.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../ring_internal.h"

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define AVX512 __attribute__((target(FEATURES)))
#define TILE static inline __attribute__((always_inline, target(FEATURES))) void

// vpdpbusd multiplies unsigned by signed bytes: z is four unsigned bytes, and Σ z · w = Σ_k 2⁸ᵏ · Σ byte_k · w. The
// sums of each byte wrap modulo 2³², as the result does.
TILE ring_tile(const cscx_tile *t, const int panels, const int height) {
    __m512i sums[24];  // [panel][height][byte]
    const uint8_t *weights = t->weights, *ahead = weights + t->ahead;
    const size_t stride = t->weights_stride, step = t->ahead_step;
    const uint32_t *z = t->x, *const end = z + t->columns * (size_t)height;
    UNROLL for (int i = 0; i < panels * height * 4; i++) { sums[i] = _mm512_setzero_si512(); }
    for (; z < end; z += 4 * height, weights += 64, ahead += step) {
        __m512i w[4];
        UNROLL for (int p = 0; p < panels; p++) {
            _mm_prefetch((const char *)ahead + p * stride, _MM_HINT_T0);
            w[p] = _mm512_loadu_si512(weights + p * stride);
        }
        UNROLL for (int i = 0; i < height * 4; i++) {
            const __m512i bytes = _mm512_set1_epi32((int)z[i]);
            UNROLL for (int p = 0; p < panels; p++) {
                __m512i *const sum = &sums[p * height * 4 + i];
                *sum = _mm512_dpbusd_epi32(*sum, bytes, w[p]);
            }
        }
    }
    UNROLL for (int i = 0; i < panels * height; i++) {
        const __m512i *const s = &sums[i * 4];
        const __m512i low = _mm512_add_epi32(s[0], _mm512_slli_epi32(s[1], 8));
        const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(s[2], 16), _mm512_slli_epi32(s[3], 24));
        uint32_t *const out = t->ring_sums + i / height * t->sums_stride + i % height * 16;
        _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_loadu_si512(out), _mm512_add_epi32(low, high)));
    }
}

#define CASE(panels, height) case (panels) * 16 + (height): ring_tile(t, panels, height); break;

AVX512 static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)format;  // always int8
    switch (panels * 16 + height) {
        CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(1, 4) CASE(1, 5) CASE(1, 6) CASE(2, 2) CASE(2, 3) CASE(4, 1)
    }
}

/// The words of four columns: the lowest byte of each, then the next, and so on.
AVX512 static void split(const uint32_t *z, size_t quads, size_t height, uint32_t *words) {
    const __m128i transposed = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (size_t q = 0; q < quads; q++) {
        const __m128i four = _mm_loadu_si128((const __m128i *)(z + 4 * q));
        _mm_storeu_si128((__m128i *)(words + q * 4 * height), _mm_shuffle_epi8(four, transposed));
    }
}

/// The innermost instructions of a tile, on registers alone.
AVX512 static double peak(size_t rounds) {
    enum { chains = 12 };  // enough to hide the latency
    __m512i sums[chains];
    const __m512i bytes = _mm512_set1_epi8(3);
    UNROLL for (int i = 0; i < chains; i++) { sums[i] = _mm512_setzero_si512(); }
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < chains; i++) {
            sums[i] = _mm512_dpbusd_epi32(sums[i], bytes, bytes);
            // Hides the value from the compiler, which would else move the work out of the loop.
            __asm__ volatile("" : "+v"(sums[i]));
        }
    }
    return (double)rounds * chains * 64 / 4;
}

const cscx_ring_kernels cscx_ring_avx512 = {
    .tile = tile,
    .split = split,
    .peak = peak,
    .height = 6,
    .panels = {0, 4, 2, 2, 1, 1, 1},
};
#endif
