// Vectors of CSCX_LANES floats, by the compiler's own vector type, so that one source serves every width.
//
// A file that instantiates kernels defines CSCX_LANES and CSCX_NAME(name), opens the matching target region, and
// includes this file and the kernels' template. Products and sums in one expression become fused multiply-adds where
// the target has them. No header guard: each translation unit includes it once.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(CSCX_LANES)));
typedef int32_t vi __attribute__((ext_vector_type(CSCX_LANES)));
typedef uint16_t vh __attribute__((ext_vector_type(CSCX_LANES)));

INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

// The lanes from `count` on are `rest`.
INLINE vf load_some(const float *p, size_t count, float rest) {
    vf v = rest;
    memcpy(&v, p, count * sizeof(float));
    return v;
}

INLINE void store_some(float *p, vf v, size_t count) { memcpy(p, &v, count * sizeof(float)); }

INLINE vi bits_of(vf v) {
    vi bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

INLINE vf of_bits(vi bits) {
    vf v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// bfloat16 is the upper half of a float32.
INLINE vf load_bf16(const uint16_t *p) {
    vh half;
    memcpy(&half, p, sizeof half);
    return of_bits(__builtin_convertvector(half, vi) << 16);
}

INLINE float sum_of(vf v) {
    float lanes[CSCX_LANES];
    store(lanes, v);
    for (size_t width = CSCX_LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) { lanes[i] += lanes[i + width]; }
    }
    return lanes[0];
}

INLINE float max_of(vf v) { return __builtin_reduce_max(v); }

INLINE vf larger(vf a, vf b) { return a > b ? a : b; }

// Adding this to a float below 2^22 rounds it to the nearest integer, which the low bits then hold; with a small
// integer added to both, they hold the sum, here of an exponent and its bias.
static const float rounding = 12582912.0f;

// e^x, within 2 ulp; 0 below x = -86.9 (where e^x < 1.9e-38), infinity above 88.73, NaN for NaN.
//
// x = n·ln 2 + r, and e^r is a polynomial (a Chebyshev fit of (e^r - 1 - r) / r², within 0.2 ulp).
INLINE vf exp_of(vf x) {
    const vf low = -86.9f, high = 89.0f;
    vf y = x > high ? high : x;
    y = y < low ? low : y;
    // 126 and not 127: half the power, since 2^128 is no float.
    const vf shifted = y * 1.44269504f + (rounding + 126);
    const vf n = shifted - (rounding + 126);
    vf r = y - n * 0.693359375f;
    r = r - n * -2.12194440055e-4f;
    vf p = 0.00139261835877f * r + 0.00836317905272f;
    p = p * r + 0.0416665546172f;
    p = p * r + 0.166665769897f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    const vf e = (p + p) * of_bits(bits_of(shifted) << 23);
    return x < low ? (vf)0.0f : e;
}

// 2^x for x <= 0, within 2 ulp; never below 2^-125, so -infinity gives about 2e-38; NaN for NaN.
//
// The polynomial is a Chebyshev fit of (2^r - 1) / r, within 0.2 ulp.
INLINE vf exp2_of(vf x) {
    const vf low = -125.0f;
    const vf y = low > x ? low : x;
    const vf shifted = y + (rounding + 127);
    const vf r = y - (shifted - (rounding + 127));
    vf p = 0.000154531629451f * r + 0.00133908633647f;
    p = p * r + 0.00961808255728f;
    p = p * r + 0.0555035711422f;
    p = p * r + 0.240226507606f;
    p = p * r + 0.693147188026f;
    p = p * r + 1.0f;
    return p * of_bits(bits_of(shifted) << 23);
}
