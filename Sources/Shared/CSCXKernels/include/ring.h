#ifndef CSCX_RING_H
#define CSCX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linear.h"

// Arithmetic modulo 2³² on int8 weights with one scale per row (`cscx_format_int8`, group 0). Results are not
// multiplied by the scales.

/// y[t, r] = Σ_c z[t, c] · w[r, c] modulo 2³², exact, for z `[tokens, columns]` and y `[tokens, rows]`, row-major.
///
/// The time depends on the shapes only. Returns false when there is no memory for a token; y is then only partly
/// written.
bool cscx_ring_linear(
    cscx_isa isa, const cscx_matrix *w, const uint32_t *z, uint32_t *y, size_t tokens, cscx_runner threads);

/// squares[r] = Σ_c w[r, c]², exact, for every row.
void cscx_row_norms(const cscx_matrix *w, uint64_t *squares, cscx_runner threads);

/// Runs the innermost arithmetic of `cscx_ring_linear` without reading memory; returns the number of multiply-adds.
double cscx_probe_ring_peak(cscx_isa isa, size_t rounds);

#endif
