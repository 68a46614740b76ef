#ifndef CSCX_FIXED_H
#define CSCX_FIXED_H

#include <stddef.h>
#include <stdint.h>

// Converts activations to integers modulo 2³², and back. Every processor gives the same bits, and no branch or
// address depends on a number. No two arrays may overlap.

/// Σ x[i]², in double precision: eight sums, each of every eighth element, which are then added in pairs.
double cscx_sum_of_squares(const float *x, size_t count);

/// q[i] = x[i] · scale, rounded to the nearest integer, ties to even, and z[i] = q[i] + pad[i] modulo 2³².
///
/// |x[i] · scale| must be below 2³¹; otherwise q[i] is any number. If `pad` is NULL, z is not written.
void cscx_fixed_encode(const float *x, float scale, const uint32_t *pad, int32_t *q, uint32_t *z, size_t count);

/// q[i] = y[i] - product[i] modulo 2³², signed, and out[i] = q[i] · (scale · column_scales[i]) + bias[i] in float32,
/// each operation rounded.
///
/// `product` and `bias` may be NULL, for zeros.
void cscx_fixed_decode(
    const uint32_t *y, const uint32_t *product, const float *column_scales, float scale, const float *bias, int32_t *q,
    float *out, size_t count);

/// y[i] -= product[i] modulo 2³².
void cscx_ring_subtract(uint32_t *y, const uint32_t *product, size_t count);

#endif
