#ifndef CSCX_ELEMENTWISE_H
#define CSCX_ELEMENTWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"

// Row operations of a decoder. Formulas, shapes and preconditions are documented at the Swift functions that call
// these; nothing is checked here. Strides count floats. Unless said otherwise, input and output may be the same rows.

/// RMSNorm of `rows` rows of `groups` adjacent groups of `channels`; the mean is per group.
void cscx_rms_norm(cscx_isa isa, const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                   size_t groups, size_t channels, const float *weight, float epsilon);

/// LayerNorm of `rows` rows of `channels`; `bias` may be NULL.
void cscx_layer_norm(cscx_isa isa, const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                     size_t channels, const float *weight, const float *bias, float epsilon);

/// The activation functions of feed-forward networks.
typedef enum cscx_activation {
    cscx_silu,
    cscx_gelu,       ///< x · Φ(x), with the error function.
    cscx_gelu_tanh,  ///< Its approximation by tanh.
    cscx_relu,
} cscx_activation;

/// out[r, f] = act(x[r, f]), times x[r, features + f] for rows of 2 · features when gated; `out` must not overlap `x`.
void cscx_activate(cscx_isa isa, cscx_activation kind, bool gated, const float *x, float *out, size_t rows,
                   size_t features);

/// x[i] += y[i].
void cscx_add(cscx_isa isa, float *x, const float *y, size_t count);

/// out[i] = e^x[i].
void cscx_exp(cscx_isa isa, const float *x, float *out, size_t count);

/// Turns `count` numbers into their softmax, in place.
void cscx_softmax(cscx_isa isa, float *x, size_t count);

/// log Σ e^x[i].
float cscx_log_sum_exp(cscx_isa isa, const float *x, size_t count);

/// Rotates the first 2 · half channels of each head of `rows` rows; tables are [rows, half].
void cscx_rotate(cscx_isa isa, float *x, size_t stride, size_t rows, size_t heads, size_t head_size, size_t half,
                 const float *cosines, const float *sines);

/// The `k` largest of `count` numbers and their indices, largest first; of equal numbers the one with the lower index
/// comes first, and NaN is ignored.
///
/// Returns how many there are, which is fewer than `k` when the input has fewer numbers.
size_t cscx_top_k(cscx_isa isa, const float *x, size_t count, size_t k, float *values, uint32_t *indices);

/// Rounds `count` numbers to codes of `bits` bits (4 or 8), in groups of 64; `out` receives the rounded numbers.
///
/// Returns false when a half cannot hold one of the numbers; `words` and `out` are then only partly written.
bool cscx_quantize_groups(cscx_isa isa, const float *x, size_t count, size_t bits, uint32_t *words, float *out);

/// Computes the numbers that groups represent; returns false when a minimum or a step is not finite.
bool cscx_dequantize_groups(cscx_isa isa, const uint32_t *words, size_t count, size_t bits, float *out);

#endif
