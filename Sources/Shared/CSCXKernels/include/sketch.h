#ifndef CSCX_SKETCH_H
#define CSCX_SKETCH_H

#include <stddef.h>
#include <stdint.h>

#include "linear.h"

// Sums modulo the prime p = 2⁶¹ - 1, which verify products of integers: Σ_r y[r] · s[r] = Σ_c x[c] · (Σ_r w[r, c] ·
// s[r]). The results are in 0 ..< p and the same on every processor; no branch or address depends on a number.

/// Σ q[i] · s[i] modulo p, for any signed q and any s.
uint64_t cscx_sketch_dot(cscx_isa isa, const int32_t *q, const uint64_t *s, size_t count);

/// out[c] = Σ_r w[r, c] · s[r] modulo p, for int8 weights with one scale per row, any s `[rows]` and out `[columns]`.
void cscx_sketch_weights(
    cscx_isa isa, const cscx_matrix *w, const uint64_t *s, uint64_t *out, cscx_runner threads);

#endif
