#ifndef CSCX_LINEAR_INTERNAL_H
#define CSCX_LINEAR_INTERNAL_H

#include <string.h>

#include "bits.h"
#include "include/linear.h"

// Loops over the registers of a tile must be unrolled completely.
#define UNROLL _Pragma("clang loop unroll(full)")

/// The most tokens of a tile in any instruction set.
enum { max_height = 12 };

/// A tile: a few tokens times one or more panels over a range of inputs.
///
/// All pointers point at the range's first input.
typedef struct cscx_tile {
    const uint8_t *weights;
    size_t weights_stride;  ///< Bytes from one panel to the next.
    /// Weights to prefetch meanwhile: `ahead` bytes after the first panel's, `ahead_step` bytes per 64 bytes that are
    /// multiplied.
    size_t ahead, ahead_step;
    const uint16_t *scales;  ///< bfloat16 [group][16], or NULL when the rows are scaled at the end.
    size_t scales_stride;    ///< Elements from one panel to the next.
    /// float [column][height], or quantised int8 [column / 4][height][4], or bfloat16 [column / 2][height][2], or as
    /// `cscx_ring_kernels` has them.
    const void *x;
    const float *x_scales;   ///< [activation group][height]
    const int32_t *x_sums;   ///< [activation group][height], sums of the quantised activations.
    size_t columns;          ///< Padded inputs in the range.
    size_t group;            ///< Inputs per activation group.
    size_t groups_per_scale;  ///< Activation groups that share a scale of the weights.
    /// [panel][height][16], added to.
    union { float *sums; uint32_t *ring_sums; };
    size_t sums_stride;      ///< Elements from one panel to the next.
} cscx_tile;

/// The kernels of an instruction set.
typedef struct cscx_linear_kernels {
    /// Adds the tile's products to its sums, for `panels` (1 or the table's entry) and `height` tokens.
    void (*tile)(cscx_format format, const cscx_tile *tile, size_t panels, size_t height);
    /// See `quantise_groups`.
    void (*quantise)(const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums);
    /// Packs the rows `first` to `last`, all of one panel; see `pack_panel`.
    void (*pack)(const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t last);
    bool rounds_to_bf16;  ///< Activations of bf16 weights are bfloat16 pairs.
    uint8_t heights[4];   ///< Highest tile, by format.
    uint8_t panels[4][max_height + 1];  ///< Panels at a time, by format and height.
} cscx_linear_kernels;

extern const cscx_linear_kernels cscx_linear_generic, cscx_linear_neon, cscx_linear_avx2, cscx_linear_avx512,
    cscx_linear_avx512bf16;

double cscx_probe_peak_avx2(cscx_format format, size_t rounds);
double cscx_probe_peak_avx512(cscx_format format, bool bf16, size_t rounds);

static inline float float_of_bf16(uint16_t value) { return float_of_bits((uint32_t)value << 16); }

/// Rounds to nearest, ties to even; NaN stays NaN.
static inline uint16_t bf16_of_float(float value) {
    const uint32_t bits = bits_of_float(value);
    if ((bits & 0x7fffffff) > 0x7f800000) { return (uint16_t)(bits >> 16 | 0x40); }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Rounds |value| < 2²² to the nearest integer, ties to even, and keeps its low byte.
///
/// An addition instead of rint(), so that the loops become vector code on any processor.
static inline int8_t round_to_byte(float value) { return (int8_t)(uint8_t)bits_of_float(value + 0x1.8p23f); }

/// Scales for signed bytes: the scale of a group whose largest magnitude has these bits, and its inverse.
///
/// A magnitude that is not finite gives NaN; one that is too small for an inverse gives 0, as zeros do.
static inline float byte_scale(uint32_t largest_bits, float *inverse) {
    const float largest = float_of_bits(largest_bits);
    *inverse = 0;
    if (largest_bits >= 0x7f800000) { return float_of_bits(0x7fc00000); }
    if (largest < 0x1p-100f) { return 0; }
    *inverse = 127 / largest;
    return largest / 127;
}

/// Rounds x to signed bytes, each group of inputs with its own scale; pads q with zeros to a multiple of 8.
__attribute__((always_inline)) static inline void quantise_groups(
    const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums) {
    for (size_t start = 0, g = 0; start < columns; start += group, g++) {
        const size_t count = columns - start < group ? columns - start : group;
        uint32_t largest = 0;
        for (size_t i = 0; i < count; i++) {
            const uint32_t bits = bits_of_float(x[start + i]) & 0x7fffffff;
            largest = bits > largest ? bits : largest;
        }
        float inverse;
        scales[g] = byte_scale(largest, &inverse);
        int32_t sum = 0;
        if (inverse > 0) {
            for (size_t i = 0; i < count; i++) {
                const int8_t value = round_to_byte(x[start + i] * inverse);
                q[start + i] = value;
                sum += value;
            }
        } else {
            memset(q + start, 0, count);
        }
        sums[g] = sum;
    }
    for (size_t i = columns; i % 8; i++) { q[i] = 0; }
}

#endif
