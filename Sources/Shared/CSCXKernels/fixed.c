// Compiled once, for the baseline of the processor family: on rows of a model these loops wait for the second-level
// cache anyway.
#include "include/fixed.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#include <math.h>
#endif

#pragma STDC FP_CONTRACT OFF

#define INLINE static inline __attribute__((always_inline))

double cscx_sum_of_squares(const float *x, size_t count) {
    // The square of a number with 24 bits is exact in 53 bits.
    double sums[8] = {0};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (size_t j = 0; j < 8; j++) { sums[j] += (double)x[i + j] * (double)x[i + j]; }
    }
    for (size_t j = 0; i + j < count; j++) { sums[j] += (double)x[i + j] * (double)x[i + j]; }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

typedef int32_t integers __attribute__((vector_size(16)));

/// Four numbers, rounded to the nearest integers, ties to even.
INLINE integers rounded(const float *x, float scale) {
#if defined(__x86_64__)
    return (integers)_mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(x), _mm_set1_ps(scale)));
#elif defined(__aarch64__)
    return (integers)vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), scale));
#else
    integers q;
    for (size_t i = 0; i < 4; i++) { q[i] = (int32_t)lrintf(x[i] * scale); }
    return q;
#endif
}

INLINE void encode4(const float *x, float scale, const uint32_t *pad, int32_t *q, uint32_t *z) {
    const integers four = rounded(x, scale);
    memcpy(q, &four, sizeof four);
    if (!pad) { return; }
    typedef uint32_t words __attribute__((vector_size(16)));
    words sums;
    memcpy(&sums, pad, sizeof sums);
    sums += (words)four;
    memcpy(z, &sums, sizeof sums);
}

/// The same as `encode4`, for the last few numbers.
static void encode_rest(const float *x, float scale, const uint32_t *pad, int32_t *q, uint32_t *z, size_t count) {
    float x4[4] = {0};
    uint32_t pad4[4] = {0}, z4[4];
    int32_t q4[4];
    memcpy(x4, x, count * 4);
    if (pad) { memcpy(pad4, pad, count * 4); }
    encode4(x4, scale, pad4, q4, z4);
    memcpy(q, q4, count * 4);
    if (pad) { memcpy(z, z4, count * 4); }
}

void cscx_fixed_encode(const float *x, float scale, const uint32_t *pad, int32_t *q, uint32_t *z, size_t count) {
    const size_t whole = count / 4 * 4;
    if (pad) {
        for (size_t i = 0; i < whole; i += 4) { encode4(x + i, scale, pad + i, q + i, z + i); }
    } else {
        for (size_t i = 0; i < whole; i += 4) { encode4(x + i, scale, NULL, q + i, NULL); }
    }
    if (whole == count) { return; }
    encode_rest(x + whole, scale, pad ? pad + whole : NULL, q + whole, pad ? z + whole : NULL, count - whole);
}

INLINE void decode(
    const uint32_t *restrict y, const uint32_t *restrict product, const float *restrict column_scales, float scale,
    const float *restrict bias, int32_t *restrict q, float *restrict out, size_t count, const bool subtracts,
    const bool adds) {
    for (size_t i = 0; i < count; i++) {
        q[i] = (int32_t)(subtracts ? y[i] - product[i] : y[i]);
        const float value = (float)q[i] * (scale * column_scales[i]);
        out[i] = adds ? value + bias[i] : value;
    }
}

void cscx_fixed_decode(
    const uint32_t *y, const uint32_t *product, const float *column_scales, float scale, const float *bias, int32_t *q,
    float *out, size_t count) {
    if (product && bias) {
        decode(y, product, column_scales, scale, bias, q, out, count, true, true);
    } else if (product) {
        decode(y, product, column_scales, scale, bias, q, out, count, true, false);
    } else if (bias) {
        decode(y, product, column_scales, scale, bias, q, out, count, false, true);
    } else {
        decode(y, product, column_scales, scale, bias, q, out, count, false, false);
    }
}

void cscx_ring_subtract(uint32_t *restrict y, const uint32_t *restrict product, size_t count) {
    for (size_t i = 0; i < count; i++) { y[i] -= product[i]; }
}
