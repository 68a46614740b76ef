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

// bfloat16 is the upper half of a float32.
INLINE vf load_bf16(const uint16_t *p) {
    vh half;
    memcpy(&half, p, sizeof half);
    const vi wide = __builtin_convertvector(half, vi) << 16;
    vf v;
    memcpy(&v, &wide, sizeof v);
    return v;
}

INLINE float sum_of(vf v) {
    float lanes[CSCX_LANES];
    store(lanes, v);
    for (size_t width = CSCX_LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) { lanes[i] += lanes[i + width]; }
    }
    return lanes[0];
}

INLINE float max_of(vf v) {
    float lanes[CSCX_LANES];
    store(lanes, v);
    for (size_t width = CSCX_LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) { lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width]; }
    }
    return lanes[0];
}

INLINE vf larger(vf a, vf b) { return a > b ? a : b; }

// 2^n · e^r for integral n in -126 ... 128 and |r| <= ln(2)/2, where `shifted` is n + 1.5·2^23: then the low bits of
// `shifted` are those of n. The polynomial (a Chebyshev fit of (e^r - 1 - r) / r²) is within 0.2 ulp.
INLINE vf scaled_exp(vf shifted, vf r) {
    vf p = 0.00139261835877f * r + 0.00836317905272f;
    p = p * r + 0.0416665546172f;
    p = p * r + 0.166665769897f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    // Half the power first: 2^128 is no float.
    vi bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 126) << 23;
    vf power;
    memcpy(&power, &bits, sizeof power);
    return (p + p) * power;
}

// Adding this to a float below 2^22 rounds it to the nearest integer.
static const float shift = 12582912.0f;

// e^x, within 2 ulp; 0 below x = -86.9 (where e^x < 1.9e-38), infinity above 88.73, NaN for NaN.
INLINE vf exp_of(vf x) {
    const vf low = -86.9f, high = 89.0f;
    vf y = x > high ? high : x;
    y = y < low ? low : y;
    const vf shifted = y * 1.44269504f + shift;
    const vf n = shifted - shift;
    vf r = y - n * 0.693359375f;
    r = r - n * -2.12194440055e-4f;
    const vf e = scaled_exp(shifted, r);
    return x < low ? (vf)0.0f : e;
}

// 2^x for x <= 127; 0 below x = -125.
INLINE vf exp2_of(vf x) {
    const vf low = -125.0f;
    const vf y = x < low ? low : x;
    const vf shifted = y + shift;
    const vf r = (y - (shifted - shift)) * 0.693147181f;
    const vf e = scaled_exp(shifted, r);
    return x < low ? (vf)0.0f : e;
}
