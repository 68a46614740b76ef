#ifndef CSCX_EXACT_H
#define CSCX_EXACT_H

#include <stddef.h>

#include "isa.h"
#include "linear.h"

/// y[t, r] = Σ_c x[t, c] · w[r, c] in float64, for x `[tokens, columns]` and y `[tokens, rows]`, row-major.
///
/// `w` is in float32. If every partial sum of products is a multiple of a common step, below 2^53 steps, no sum is
/// rounded. The result then depends neither on the instruction set nor on the order in which it adds.
void cscx_exact_linear(
    cscx_isa isa, const cscx_matrix *w, const float *x, double *y, size_t tokens, cscx_runner threads);

/// Rounds each head of `rows` rows to the nearest multiples of 2^(e - bits), where 2^e is the smallest power of two
/// above its largest magnitude; ties to even.
///
/// Row r has `heads` adjacent heads of `head_size` from `x + r * stride` on; `bits` is at most 24. A head stays as it is
/// if an element is not finite or is 2^127 or more, or if the step would be below 2^-126.
void cscx_round_heads(
    cscx_isa isa, float *x, size_t stride, size_t rows, size_t heads, size_t head_size, int bits);

#endif
