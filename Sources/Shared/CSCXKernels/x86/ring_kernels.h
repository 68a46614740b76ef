// Products modulo 2³² for one set of registers, by the macros of the including file. No header guard.
//
//     NAME(name)   a name of this instance     FEATURES     the functions' target
//     REGISTERS    registers of a panel: 16 rows of four bytes
//     TABLE        the name of its table       HEIGHT       of the highest tile
//     PANELS       panels at a time by height  SHAPES(call) call(panels, height) for every tile
//     vector       the registers' type; the operations on it are
//     LOAD(from) STORE(to, a) ZERO() SET1(word) ADD(a, b) LEFT32(a, n)
//     LEFT16(a, n) RIGHT16(a, n)   shifts of signed 16-bit lanes
//     DOT(sum, a, b)               sum + the products of signed 16-bit pairs, modulo 2³²
//     KEEP(a)                      hides a register's value from the compiler, where that helps
//
// z = low + 2¹⁶ · high with low in -2¹⁵ ..< 2¹⁵, and Σ z · w = Σ low · w + 2¹⁶ · Σ high · w modulo 2³². Only 16 bits
// of high matter, so it may be taken as signed too. The products of a pair add up to 2 · 2¹⁵ · 2⁷ = 2²³ at most,
// which is exact; the sums wrap, as they should.

#define INLINE static inline __attribute__((always_inline, target(FEATURES))) void
#define FUNCTION __attribute__((target(FEATURES))) static void

INLINE NAME(ring_tile)(const cscx_tile *t, const int panels, const int height) {
    vector sums[2 * REGISTERS * HEIGHT * 4];  // [panel][height][low, high][register]
    const uint8_t *weights = t->weights, *ahead = weights + t->ahead;
    const size_t stride = t->weights_stride, step = t->ahead_step;
    const uint32_t *z = t->x, *const end = z + t->columns * (size_t)height;
    UNROLL for (int i = 0; i < panels * height * 2 * REGISTERS; i++) { sums[i] = ZERO(); }
    for (; z < end; z += 4 * height, weights += 64, ahead += step) {
        // The even columns, then the odd, of all tokens: their weights become 16-bit lanes.
        UNROLL for (int odd = 0; odd < 2; odd++) {
            vector w[4 * REGISTERS];
            UNROLL for (int p = 0; p < panels; p++) {
                if (odd == 0) { _mm_prefetch((const char *)ahead + p * stride, _MM_HINT_T0); }
                UNROLL for (int r = 0; r < REGISTERS; r++) {
                    const vector bytes = LOAD(weights + p * stride + r * sizeof(vector));
                    w[p * REGISTERS + r] = RIGHT16(odd ? bytes : LEFT16(bytes, 8), 8);
                }
            }
            UNROLL for (int i = 0; i < 2 * height; i++) {
                const vector half = SET1(z[i / 2 * 4 + odd * 2 + i % 2]);
                UNROLL for (int p = 0; p < panels; p++) {
                    UNROLL for (int r = 0; r < REGISTERS; r++) {
                        vector *const sum = &sums[(p * height * 2 + i) * REGISTERS + r];
                        *sum = DOT(*sum, w[p * REGISTERS + r], half);
                        KEEP(*sum);
                    }
                }
            }
        }
    }
    UNROLL for (int i = 0; i < panels * height; i++) {
        UNROLL for (int r = 0; r < REGISTERS; r++) {
            const vector low = sums[i * 2 * REGISTERS + r], high = sums[(i * 2 + 1) * REGISTERS + r];
            uint32_t *const out
                = t->ring_sums + i / height * t->sums_stride + i % height * 16 + r * (16 / REGISTERS);
            STORE(out, ADD(LOAD(out), ADD(low, LEFT32(high, 16))));
        }
    }
}

#define CASE(panels, height) case (panels) * 16 + (height): NAME(ring_tile)(t, panels, height); break;

FUNCTION NAME(tile)(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)format;  // always int8
    switch (panels * 16 + height) { SHAPES(CASE) }
}

/// Four words a group: the low and the high halves of its even columns, then of its odd columns.
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

const cscx_ring_kernels TABLE = {
    .tile = NAME(tile), .split = NAME(split), .height = HEIGHT, .panels = PANELS,
};

#undef INLINE
#undef FUNCTION
#undef CASE
