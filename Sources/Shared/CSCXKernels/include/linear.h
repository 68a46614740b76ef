#ifndef CSCX_LINEAR_H
#define CSCX_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// The threads among which a kernel divides its work.
typedef struct cscx_runner {
    void *context;
    size_t threads;
    /// Calls `body(job, i)` for every i in 0 ..< count, in any order and on any thread, and returns when all are done.
    void (*run)(void *context, size_t count, void (*body)(void *job, size_t index), void *job);
} cscx_runner;

/// How packed weights are held.
///
/// The order of the values matters: one input of a panel takes `64 >> format` bytes.
typedef enum cscx_format {
    cscx_format_f32 = 0,
    cscx_format_bf16 = 1,
    cscx_format_int8 = 2,
    cscx_format_int4 = 3,
} cscx_format;

/// The floating-point types of checkpoints.
typedef enum cscx_source { cscx_source_f32 = 0, cscx_source_f16 = 1, cscx_source_bf16 = 2 } cscx_source;

/// Packed weights `[rows, columns]` of one linear site.
///
/// Rows come in panels of 16, interleaved so that 64 bytes hold the same few inputs of all 16 rows:
///
///     f32  [panel][column][16]            int8 [panel][column / 4][16][4]
///     bf16 [panel][column / 2][16][2]     int4 [panel][column / 8][16][4]
///
/// An int4 byte holds value + 8 of two inputs: input i of the eight in its low half, input i + 4 in its high half.
/// Rows are padded to 16 and columns to `cscx_padded_columns`.
typedef struct cscx_matrix {
    cscx_format format;
    size_t rows;
    size_t columns;
    size_t group;   ///< Inputs per scale: 32, 64 or 128 in int4; also 0 in int8, for one scale per row.
    void *values;   ///< Zeroed before the first row is packed; aligned to 64 bytes.
    void *scales;   ///< float [padded rows] when `group` is 0, else bfloat16 [panel][group][16]; NULL for f32, bf16.
} cscx_matrix;

/// Columns with their padding: a multiple of 2 in bf16 and of 8 in int8 and int4.
static inline size_t cscx_padded_columns(cscx_format format, size_t columns) {
    const size_t unit = format == cscx_format_f32 ? 1 : format == cscx_format_bf16 ? 2 : 8;
    return (columns + unit - 1) / unit * unit;
}

/// Packs `count` rows, row-major in `source` at any alignment, as rows `first` and following; quantises them if the
/// format requires it.
///
/// A row with a value that is not finite is packed as NaN; in int4 and grouped int8 only the group with that value
/// is.
void cscx_pack(
    const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t count, cscx_runner threads);

/// Writes the `columns` values of a row exactly as the kernels multiply by them.
void cscx_dequantize(const cscx_matrix *w, size_t row, float *out);

/// y[t, r] = Σ_c x[t, c] · w[r, c] + bias[r], for x `[tokens, columns]` and y `[tokens, rows]`, row-major.
///
/// With int8 and int4 weights, x is rounded to signed bytes with one scale per token and group of inputs (128 when
/// the weights have one scale per row, 32 in int4, else the weights' group). Sums are integers inside a group, and
/// float32 across groups. A group with a value that is not finite makes the whole result of its token NaN.
///
/// `bias` may be NULL. Returns false when there is no memory for a token's activations; y is then only partly
/// written.
bool cscx_linear(
    cscx_isa isa, const cscx_matrix *w, const float *x, const float *bias, float *y, size_t tokens,
    cscx_runner threads);

/// Reads `bytes` (a multiple of 256) at `data` (aligned to 64) once, to measure the bandwidth; returns a mix of what
/// it read.
uint64_t cscx_probe_read(const void *data, size_t bytes);

/// Runs the innermost arithmetic of `format` without reading memory; returns the number of multiply-adds.
double cscx_probe_peak(cscx_isa isa, cscx_format format, size_t rounds);

#endif
