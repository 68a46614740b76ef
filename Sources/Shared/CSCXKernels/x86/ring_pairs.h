// Products modulo 2³² by 16-bit pairs in 256-bit registers, by the macros of the including file. No header guard.
//
//     NAME(name)       a name of this instance
//     TABLE            the name of its table
//     FEATURES         its functions' target
//     DOT(sum, a, b)   sum + the products of signed 16-bit pairs, modulo 2³²
//
// z = low + 2¹⁶ · high with low in -2¹⁵ ..< 2¹⁵, and Σ z · w = Σ low · w + 2¹⁶ · Σ high · w modulo 2³². Only 16 bits
// of high matter, so it may be taken as signed too. The products of a pair add up to 2 · 2¹⁵ · 2⁷ = 2²³ at most,
// which is exact; the sums wrap, as they should.

#define INLINE static inline __attribute__((always_inline, target(FEATURES))) void
#define FUNCTION __attribute__((target(FEATURES))) static void

INLINE NAME(ring_tile)(const cscx_tile *t, const int panels, const int height) {
    __m256i sums[12];  // [panel][height][low, high][rows 0 to 7, 8 to 15]
    const uint8_t *weights = t->weights, *ahead = weights + t->ahead;
    const size_t stride = t->weights_stride, step = t->ahead_step;
    const uint32_t *z = t->x, *const end = z + t->columns * (size_t)height;
    UNROLL for (int i = 0; i < panels * height * 4; i++) { sums[i] = _mm256_setzero_si256(); }
    for (; z < end; z += 4 * height, weights += 64, ahead += step) {
        UNROLL for (int p = 0; p < panels; p++) {
            const __m256i *const from = (const __m256i *)(weights + p * stride);
            _mm_prefetch((const char *)ahead + p * stride, _MM_HINT_T0);
            // The even columns, then the odd, of all tokens: their weights become 16-bit lanes.
            UNROLL for (int odd = 0; odd < 2; odd++) {
                __m256i w[2];
                UNROLL for (int r = 0; r < 2; r++) {
                    const __m256i bytes = _mm256_loadu_si256(from + r);
                    w[r] = _mm256_srai_epi16(odd ? bytes : _mm256_slli_epi16(bytes, 8), 8);
                }
                UNROLL for (int i = 0; i < 2 * height; i++) {
                    const __m256i half = _mm256_set1_epi32((int)z[i / 2 * 4 + odd * 2 + i % 2]);
                    UNROLL for (int r = 0; r < 2; r++) {
                        __m256i *const sum = &sums[(p * height * 2 + i) * 2 + r];
                        *sum = DOT(*sum, w[r], half);
                        // Else the compiler adds in another order, with more registers than there are.
                        __asm__ volatile("" : "+x"(*sum));
                    }
                }
            }
        }
    }
    UNROLL for (int i = 0; i < panels * height; i++) {
        UNROLL for (int r = 0; r < 2; r++) {
            const __m256i low = sums[i * 4 + r], high = _mm256_slli_epi32(sums[i * 4 + 2 + r], 16);
            __m256i *const out
                = (__m256i *)(t->ring_sums + i / height * t->sums_stride + i % height * 16 + r * 8);
            const __m256i sum = _mm256_add_epi32(low, high);
            _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), sum));
        }
    }
}

#define CASE(panels, height) case (panels) * 16 + (height): NAME(ring_tile)(t, panels, height); break;

FUNCTION NAME(tile)(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)format;  // always int8
    switch (panels * 16 + height) { CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(2, 1) CASE(3, 1) }
}

/// The words of four columns: the low and the high halves of the even columns, then of the odd.
FUNCTION NAME(split)(const uint32_t *z, size_t quads, size_t height, uint32_t *words) {
    for (size_t q = 0; q < quads; q++, z += 4, words += 4 * height) {
        for (size_t odd = 0; odd < 2; odd++) {
            const uint32_t a = z[odd], b = z[odd + 2];
            words[2 * odd] = (a & 0xffff) | b << 16;
            // What the low half's sign takes off, the high half has more.
            words[2 * odd + 1] = (a + 0x8000) >> 16 | ((b + 0x8000) & 0xffff0000);
        }
    }
}

/// The innermost instructions of a tile, on registers alone.
__attribute__((target(FEATURES))) static double NAME(peak)(size_t rounds) {
    enum { chains = 12 };  // enough to hide the latency
    __m256i sums[chains], w = _mm256_set1_epi8(3);
    const __m256i half = _mm256_set1_epi8(2);
    UNROLL for (int i = 0; i < chains; i++) { sums[i] = _mm256_setzero_si256(); }
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < chains; i++) {
            // Hides the values from the compiler, which would else move the work out of the loop.
            __asm__ volatile("" : "+x"(w));
            sums[i] = DOT(sums[i], w, half);
            __asm__ volatile("" : "+x"(sums[i]));
        }
    }
    return (double)rounds * chains * 16 / 2;
}

const cscx_ring_kernels TABLE = {
    .tile = NAME(tile),
    .split = NAME(split),
    .peak = NAME(peak),
    .height = 3,
    .panels = {0, 2, 1, 1},
};

#undef INLINE
#undef FUNCTION
#undef CASE
