#ifndef CSCX_LINEAR_PACK_H
#define CSCX_LINEAR_PACK_H

#include "linear_internal.h"

// The arithmetic is the same on every processor, so that a checkpoint packs to the same bytes everywhere.
#pragma STDC FP_CONTRACT OFF

enum { pack_segment = 256 };  // columns at a time, a multiple of every group

/// Reads `count` elements from the element `start` of `source`, which need not be aligned.
__attribute__((always_inline)) static inline void load_floats(
    const uint8_t *source, cscx_source type, size_t start, size_t count, float *out) {
    if (type == cscx_source_f32) {
        memcpy(out, source + 4 * start, 4 * count);
        return;
    }
    uint16_t halves[pack_segment];
    memcpy(halves, source + 2 * start, 2 * count);
    if (type == cscx_source_bf16) {
        for (size_t i = 0; i < count; i++) { out[i] = float_of_bf16(halves[i]); }
    } else {
        for (size_t i = 0; i < count; i++) { out[i] = float_of_f16(halves[i]); }
    }
}

__attribute__((always_inline)) static inline uint32_t largest_bits(const float *x, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of_float(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

/// The least bfloat16 that is not below a positive value; with a smaller scale a weight could exceed 127 scales.
static inline uint16_t bf16_above(float value) {
    const uint32_t bits = bits_of_float(value);
    return (uint16_t)((bits + ((bits & 0x7fffffff) < 0x7f800000 ? 0xffff : 0)) >> 16);
}

/// Rounds a group to 0 … 15, value + 8, and returns the bfloat16 scale with the least squared error among a few.
__attribute__((always_inline)) static inline uint16_t quantise_int4(const float *x, size_t count, uint8_t *q) {
    memset(q, 8, count);
    const uint32_t largest = largest_bits(x, count);
    if (largest >= 0x7f800000) { return 0x7fc0; }
    if (largest < 0x0d800000) { return 0; }  // 2⁻¹⁰⁰, as for bytes
    const float magnitude = float_of_bits(largest);
    float sign = -1;
    for (size_t i = 0; i < count; i++) {
        if (x[i] == magnitude) { sign = 1; }
    }
    // There is a code for -8 and none for 8. So the scale's sign is chosen such that the value with the largest magnitude
    // gets a negative code. Clipping that value a little often makes the others more exact.
    static const float divisors[] = {-8.5f, -8, -7.5f, -7, 7, 7.5f};
    uint16_t best = 0;
    float best_error = float_of_bits(0x7f800000);
    for (size_t d = 0; d < sizeof divisors / sizeof divisors[0]; d++) {
        const uint16_t candidate = bf16_of_float(sign * magnitude / divisors[d]);
        const float scale = float_of_bf16(candidate), inverse = 1 / scale;
        float errors[8] = {0};
        for (size_t i = 0; i + 8 <= count; i += 8) {
            for (size_t j = 0; j < 8; j++) {
                float code = (x[i + j] * inverse + 0x1.8p23f) - 0x1.8p23f;
                code = code < -8 ? -8 : code > 7 ? 7 : code;
                const float error = x[i + j] * inverse - code;  // in steps: large and small weights alike
                errors[j] += error * error;
            }
        }
        float error = 0;
        for (size_t j = 0; j < 8; j++) { error += errors[j]; }
        error *= scale / magnitude * (scale / magnitude);
        if (error < best_error) {
            best_error = error;
            best = candidate;
        }
    }
    const float inverse = 1 / float_of_bf16(best);
    for (size_t i = 0; i < count; i++) {
        const float code = x[i] * inverse;
        q[i] = (uint8_t)(round_to_byte(code < -8 ? -8 : code > 7 ? 7 : code) + 8);
    }
    return best;
}

/// Packs the rows `first` to `last`, all of one panel, from row-major elements.
__attribute__((always_inline)) static inline void pack_panel(
    const cscx_matrix *w, const uint8_t *source, cscx_source type, size_t first, size_t last) {
    const size_t panel = first / 16, padded = cscx_padded_columns(w->format, w->columns);
    const size_t row_bytes = w->columns * (type == cscx_source_f32 ? 4 : 2);
    uint8_t *const values = (uint8_t *)w->values + panel * padded * (64 >> w->format);
    const size_t groups = w->group ? (w->columns + w->group - 1) / w->group : 0;
    float x[pack_segment];

    float inverses[16];  // int8 with one scale per row
    if (w->format == cscx_format_int8 && w->group == 0) {
        for (size_t row = first; row < last; row++) {
            uint32_t largest = 0;
            for (size_t start = 0; start < w->columns; start += pack_segment) {
                const size_t count = w->columns - start < pack_segment ? w->columns - start : pack_segment;
                load_floats(source + (row - first) * row_bytes, type, start, count, x);
                const uint32_t bits = largest_bits(x, count);
                largest = bits > largest ? bits : largest;
            }
            ((float *)w->scales)[row] = byte_scale(largest, &inverses[row % 16]);
        }
    }

    // Pack all rows of a segment of columns before the next segment, so that the interleaved lines stay in the cache.
    for (size_t start = 0; start < w->columns; start += pack_segment) {
        const size_t count = w->columns - start < pack_segment ? w->columns - start : pack_segment;
        for (size_t row = first; row < last; row++) {
            const size_t lane = row % 16;
            load_floats(source + (row - first) * row_bytes, type, start, count, x);
            if (w->format == cscx_format_f32) {
                float *const out = (float *)values + start * 16 + lane;
                for (size_t i = 0; i < count; i++) { out[i * 16] = x[i]; }
            } else if (w->format == cscx_format_bf16) {
                uint16_t *const out = (uint16_t *)values + start * 16 + lane * 2;
                for (size_t i = 0; i < count; i++) { out[i / 2 * 32 + i % 2] = bf16_of_float(x[i]); }
            } else if (w->format == cscx_format_int8) {
                int8_t *const out = (int8_t *)values + start * 16 + lane * 4;
                const size_t step = w->group ? w->group : count;
                for (size_t g = 0; g < count; g += step) {
                    const size_t end = g + step < count ? g + step : count;
                    float inverse = inverses[lane];
                    if (w->group) {
                        const float scale = byte_scale(largest_bits(x + g, end - g), &inverse);
                        const uint16_t above = bf16_above(scale);
                        ((uint16_t *)w->scales)[(panel * groups + (start + g) / w->group) * 16 + lane] = above;
                        if (inverse > 0) { inverse = 1 / float_of_bf16(above); }
                    }
                    for (size_t i = g; i < end; i++) {
                        out[i / 4 * 64 + i % 4] = inverse > 0 ? round_to_byte(x[i] * inverse) : 0;
                    }
                }
            } else {
                uint8_t codes[pack_segment];
                for (size_t i = count; i % 8; i++) { x[i] = 0; }
                for (size_t g = 0; g < count; g += w->group) {
                    const size_t size = count - g < w->group ? (count - g + 7) / 8 * 8 : w->group;
                    ((uint16_t *)w->scales)[(panel * groups + (start + g) / w->group) * 16 + lane]
                        = quantise_int4(x + g, size, codes + g);
                }
                for (size_t i = 0; i < count; i += 8) {
                    uint8_t *const out = values + (start + i) * 8 + lane * 4;
                    for (size_t j = 0; j < 4; j++) {
                        out[j] = (uint8_t)(codes[i + j] | codes[i + 4 + j] << 4);
                    }
                }
            }
        }
    }
}

#endif
