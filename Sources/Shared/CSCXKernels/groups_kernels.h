// Numbers in groups with few bits each, for the vector width and the target of the including file.
//
// A group is 64 numbers: one word with two halves, the minimum below and the step above, then the codes, 8 or 4 bits
// each, the first in the lowest bits of the first byte. A number is minimum + step · code. The product is exact, since
// a half has 11 bits, so the sum is the same number whether or not it is fused.

#include "bits.h"

enum { group_count = 64 };

typedef uint8_t vb __attribute__((ext_vector_type(CSCX_LANES)));

// Rounds the numbers of a group of 64 to codes, and writes the rounded numbers to `out`; false when a half cannot
// hold one of them.
INLINE bool quantize_group(const float *x, size_t bits, uint32_t *words, float *out) {
    vf low = load(x), high = low;
    vi outside = 0;
    for (size_t c = 0; c < group_count; c += CSCX_LANES) {
        const vf v = load(x + c);
        low = v < low ? v : low;
        high = larger(v, high);
        outside |= ~((v <= 65504.0f) & (v >= -65504.0f));  // Of NaN, neither.
    }
    if (__builtin_reduce_or(outside)) { return false; }

    // The minimum and the step are rounded outwards, so that every number is between two codes, and within half a
    // step of one.
    const float levels = bits == 8 ? 255 : 15;
    const uint16_t minimum = f16_below(__builtin_reduce_min(low));
    const float base = float_of_f16(minimum);
    const uint16_t step = f16_above((max_of(high) - base) / levels) & 0x7fff;
    const float unit = float_of_f16(step), inverse = unit > 0 ? 1 / unit : 0;
    words[0] = minimum | (uint32_t)step << 16;
    uint8_t codes[group_count];
    for (size_t c = 0; c < group_count; c += CSCX_LANES) {
        const vf shifted = (load(x + c) - base) * inverse + rounding;
        const vb code = __builtin_convertvector(bits_of(shifted) & 255, vb);
        memcpy(codes + c, &code, sizeof code);
        store(out + c, (shifted - rounding) * unit + base);
    }
    if (bits == 4) {
        for (size_t i = 0; i < group_count / 2; i++) { codes[i] = codes[2 * i] | (uint8_t)(codes[2 * i + 1] << 4); }
    }
    memcpy(words + 1, codes, group_count * bits / 8);
    return true;
}

INLINE bool quantize_groups_of(const float *x, size_t count, size_t bits, uint32_t *words, float *out) {
    const size_t stride = 1 + 2 * bits;
    for (; count >= group_count; count -= group_count, x += group_count, out += group_count, words += stride) {
        if (!quantize_group(x, bits, words, out)) { return false; }
    }
    if (count == 0) { return true; }
    // The last group is filled with its first number.
    float some[group_count], rounded[group_count];
    for (size_t i = 0; i < group_count; i++) { some[i] = x[i < count ? i : 0]; }
    if (!quantize_group(some, bits, words, rounded)) { return false; }
    memcpy(out, rounded, count * sizeof(float));
    return true;
}

INLINE void dequantize_group(const uint32_t *words, size_t bits, float *out) {
    const float base = float_of_f16((uint16_t)words[0]), unit = float_of_f16((uint16_t)(words[0] >> 16));
    uint8_t codes[group_count];
    memcpy(codes, words + 1, group_count * bits / 8);
    if (bits == 4) {
        for (size_t i = group_count / 2; i-- > 0;) {
            const uint8_t pair = codes[i];
            codes[2 * i] = pair & 15;
            codes[2 * i + 1] = pair >> 4;
        }
    }
    for (size_t c = 0; c < group_count; c += CSCX_LANES) {
        vb code;
        memcpy(&code, codes + c, sizeof code);
        store(out + c, __builtin_convertvector(code, vf) * unit + base);
    }
}

INLINE bool dequantize_groups_of(const uint32_t *words, size_t count, size_t bits, float *out) {
    const size_t stride = 1 + 2 * bits;
    for (;; count -= group_count, out += group_count, words += stride) {
        if (count == 0) { return true; }
        // All ones in the exponent: infinity or NaN.
        if ((words[0] & 0x7c00) == 0x7c00 || (words[0] >> 16 & 0x7c00) == 0x7c00) { return false; }
        if (count < group_count) { break; }
        dequantize_group(words, bits, out);
    }
    float rounded[group_count];
    dequantize_group(words, bits, rounded);
    memcpy(out, rounded, count * sizeof(float));
    return true;
}

// `bits` is a constant in each call, so that the compiler makes a loop for each.
static bool quantize_groups(const float *x, size_t count, size_t bits, uint32_t *words, float *out) {
    return bits == 8 ? quantize_groups_of(x, count, 8, words, out) : quantize_groups_of(x, count, 4, words, out);
}

static bool dequantize_groups(const uint32_t *words, size_t count, size_t bits, float *out) {
    return bits == 8 ? dequantize_groups_of(words, count, 8, out) : dequantize_groups_of(words, count, 4, out);
}
