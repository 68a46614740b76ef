// Products in float64, for the vector width and the target of the including file.

#include "bits.h"
#include "exact_table.h"
#include "vector_double.h"

enum { D = 16 / (CSCX_LANES / 2) };  // vectors per 16 doubles

// y[t][r] = Σ_c x[c][t] · w[c][r] for t < height and the 16 rows r of a panel, over `columns` inputs.
//
// x `[columns][CSCX_TOKENS]`; `height` is a constant at each call.
INLINE void panel_tile(const float *w, const double *x, size_t columns, double *y, const int height) {
    vd sums[CSCX_TOKENS][D];
    for (int t = 0; t < height; t++) {
        for (int i = 0; i < D; i++) { sums[t][i] = 0; }
    }
    for (size_t c = 0; c < columns; c++) {
        vd rows[D];
        for (int i = 0; i < D; i++) { rows[i] = load_doubles(w + c * 16 + i * (CSCX_LANES / 2)); }
        for (int t = 0; t < height; t++) {
            const double value = x[c * CSCX_TOKENS + t];
            for (int i = 0; i < D; i++) { sums[t][i] = value * rows[i] + sums[t][i]; }
        }
    }
    for (int t = 0; t < height; t++) {
        for (int i = 0; i < D; i++) { memcpy(y + t * 16 + i * (CSCX_LANES / 2), &sums[t][i], sizeof(vd)); }
    }
}

static void panel(const float *w, const double *x, size_t columns, double *y, size_t height) {
    switch (height) {
    case 1: panel_tile(w, x, columns, y, 1); break;
#if CSCX_TOKENS > 1
    case 2: panel_tile(w, x, columns, y, 2); break;
#endif
#if CSCX_TOKENS > 2
    case 3: panel_tile(w, x, columns, y, 3); break;
    case 4: panel_tile(w, x, columns, y, 4); break;
    case 5: panel_tile(w, x, columns, y, 5); break;
    case 6: panel_tile(w, x, columns, y, 6); break;
    case 7: panel_tile(w, x, columns, y, 7); break;
    case 8: panel_tile(w, x, columns, y, 8); break;
#endif
    default: break;
    }
}

INLINE void round_head(float *x, size_t count, int bits) {
    // Magnitudes compare as the integers of their bits, and NaN is above all others.
    vi best = 0;
    for (size_t i = 0; i < count; i += CSCX_LANES) {
        const vi magnitude = bits_of(i + CSCX_LANES <= count ? load(x + i) : load_some(x + i, count - i, 0)) & 0x7fffffff;
        best = magnitude > best ? magnitude : best;
    }
    const uint32_t largest = (uint32_t)__builtin_reduce_max(best);
    // The exponent of the smallest power of two above the largest magnitude, and that of the step, both with their bias.
    const uint32_t step = (largest >> 23) + 1;
    if (largest >= 0x7f000000 || step <= (uint32_t)bits) { return; }
    // Adding 1.5 · 2^52 steps to a double of at most 2^51 steps rounds it to whole steps.
    const double shift = 0x1.8p52 * (double)float_of_bits((step - (uint32_t)bits) << 23);
    size_t i = 0;
    for (; i + CSCX_LANES / 2 <= count; i += CSCX_LANES / 2) {
        store_doubles(x + i, (load_doubles(x + i) + shift) - shift);
    }
    for (; i < count; i++) { x[i] = (float)(((double)x[i] + shift) - shift); }
}

static void round_heads(float *x, size_t stride, size_t rows, size_t heads, size_t head_size, int bits) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t h = 0; h < heads; h++) { round_head(x + r * stride + h * head_size, head_size, bits); }
    }
}

const cscx_exact_table CSCX_NAME(cscx_exact) = {CSCX_TOKENS, panel, round_heads};
