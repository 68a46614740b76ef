#ifndef CSCX_BITS_H
#define CSCX_BITS_H

#include <stdint.h>
#include <string.h>

// Floating-point numbers by their bits, with the same results on every processor.

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/// The value of an IEEE half.
static inline float float_of_f16(uint16_t value) {
    const uint32_t magnitude = value & 0x7fff;
    // The exponents differ by 112; an exact product also makes the subnormals right.
    const uint32_t bits = bits_of_float(float_of_bits(magnitude << 13) * 0x1p112f);
    return float_of_bits(bits | (magnitude >= 0x7c00 ? 0x7f800000 : 0) | (uint32_t)(value & 0x8000) << 16);
}

/// The half that is at most a value, for values that a half can hold.
static inline uint16_t f16_below(float value) {
    const uint32_t magnitude = bits_of_float(value) & 0x7fffffff;
    // Cut towards zero; below 2^-14 halves are multiples of 2^-24.
    uint16_t half = magnitude >= 0x38800000 ? (uint16_t)((magnitude - 0x38000000) >> 13)
                                            : (uint16_t)(float_of_bits(magnitude) * 0x1p24f);
    if (value >= 0) { return half; }
    if (float_of_f16(half) != float_of_bits(magnitude)) { half++; }
    return half | 0x8000;
}

/// The half that is at least a value, for values that a half can hold.
static inline uint16_t f16_above(float value) { return f16_below(-value) ^ 0x8000; }

#endif
