// Numbers that GGUF files and other quantised checkpoints store with a few bits each.
#include "blocks.h"

#include <string.h>

#include "bits.h"

// Sums and products must not be contracted, or processors would differ.
#pragma STDC FP_CONTRACT OFF

static const struct { uint16_t values, bytes; } sizes[] = {
    [cscx_block_q4_0] = {32, 18},   [cscx_block_q4_1] = {32, 20},   [cscx_block_q5_0] = {32, 22},
    [cscx_block_q5_1] = {32, 24},   [cscx_block_q8_0] = {32, 34},   [cscx_block_q2_k] = {256, 84},
    [cscx_block_q3_k] = {256, 110}, [cscx_block_q4_k] = {256, 144}, [cscx_block_q5_k] = {256, 176},
    [cscx_block_q6_k] = {256, 210}, [cscx_block_iq4_nl] = {32, 18}, [cscx_block_iq4_xs] = {256, 136},
    [cscx_block_mxfp4] = {32, 17},
};

size_t cscx_block_values(cscx_block format) { return sizes[format].values; }

size_t cscx_block_bytes(cscx_block format) { return sizes[format].bytes; }

static inline float half_at(const uint8_t *bytes) { return float_of_f16((uint16_t)(bytes[0] | bytes[1] << 8)); }

/// The numbers that the codes 0 … 15 of iq4_nl and iq4_xs stand for.
static const int8_t uneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// Twice the numbers of E2M1.
static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(exponent - 128), subnormal where it must be.
static inline float half_power(uint8_t exponent) {
    return float_of_bits(exponent < 2 ? (uint32_t)0x200000 << exponent : (uint32_t)(exponent - 1) << 23);
}

// MARK: Blocks of 32 numbers. The first sixteen are in the low halves of the bytes, the others in the high halves.

static void read_q4_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

static void read_q4_1(const uint8_t *b, float *out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(b[4 + i] & 15) + m;
        out[i + 16] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/// Number i of 32 with five bits: four in `low`, the fifth in bit i of `high`.
static inline int five_bits(const uint8_t *high, const uint8_t *low, int i) {
    const int four = i < 16 ? low[i] & 15 : low[i - 16] >> 4;
    return four | (high[i / 8] >> i % 8 & 1) << 4;
}

static void read_q5_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 32; i++) { out[i] = d * (float)(five_bits(b + 2, b + 6, i) - 16); }
}

static void read_q5_1(const uint8_t *b, float *out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 32; i++) { out[i] = d * (float)five_bits(b + 4, b + 8, i) + m; }
}

static void read_q8_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 32; i++) { out[i] = (float)(int8_t)b[2 + i] * d; }
}

static void read_iq4_nl(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)uneven[b[2 + i] & 15];
        out[i + 16] = d * (float)uneven[b[2 + i] >> 4];
    }
}

static void read_mxfp4(const uint8_t *b, float *out) {
    const float d = half_power(b[0]);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)doubled[b[1 + i] & 15];
        out[i + 16] = d * (float)doubled[b[1 + i] >> 4];
    }
}

// MARK: Blocks of 256 numbers, of which 16 or 32 share a scale that is itself an integer times that of the block.

static void read_q2_k(const uint8_t *b, float *out) {
    const uint8_t *const scales = b, *const q = b + 16;
    const float d = half_at(b + 80), least = half_at(b + 82);
    for (int i = 0; i < 256; i++) {
        // Each 32 bytes hold four times 32 numbers, two bits of a byte for each.
        const int code = q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3, scale = scales[i / 16];
        out[i] = d * (float)(scale & 15) * (float)code - least * (float)(scale >> 4);
    }
}

static void read_q3_k(const uint8_t *b, float *out) {
    const uint8_t *const high = b, *const low = b + 32, *const packed = b + 96;
    const float d = half_at(b + 108);
    float scales[16];
    for (int i = 0; i < 16; i++) {
        const int four = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
        const int two = packed[8 + i % 4] >> i / 4 * 2 & 3;
        scales[i] = d * (float)((four | two << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        const int two = low[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        const int third = high[i % 32] >> i / 32 & 1;
        out[i] = scales[i / 16] * (float)(two - (third ? 0 : 4));
    }
}

/// The scale and the offset of the eight groups of 32 numbers of q4_k and q5_k, six bits each.
static void read_groups(const uint8_t *packed, float d, float least, float *scales, float *offsets) {
    for (int i = 0; i < 4; i++) {
        const int x = packed[i], y = packed[4 + i], z = packed[8 + i];
        scales[i] = d * (float)(x & 63);
        offsets[i] = least * (float)(y & 63);
        scales[4 + i] = d * (float)((z & 15) | (x >> 2 & 48));
        offsets[4 + i] = least * (float)(z >> 4 | (y >> 2 & 48));
    }
}

static void read_q4_k(const uint8_t *b, float *out) {
    float scales[8], offsets[8];
    read_groups(b + 4, half_at(b), half_at(b + 2), scales, offsets);
    const uint8_t *const q = b + 16;
    for (int i = 0; i < 256; i++) {
        const int g = i / 32, code = q[i / 64 * 32 + i % 32] >> g % 2 * 4 & 15;
        out[i] = scales[g] * (float)code - offsets[g];
    }
}

static void read_q5_k(const uint8_t *b, float *out) {
    float scales[8], offsets[8];
    read_groups(b + 4, half_at(b), half_at(b + 2), scales, offsets);
    const uint8_t *const high = b + 16, *const low = b + 48;
    for (int i = 0; i < 256; i++) {
        const int g = i / 32, four = low[i / 64 * 32 + i % 32] >> g % 2 * 4 & 15;
        out[i] = scales[g] * (float)(four | (high[i % 32] >> g & 1) << 4) - offsets[g];
    }
}

static void read_q6_k(const uint8_t *b, float *out) {
    const uint8_t *const low = b, *const high = b + 128, *const scales = b + 192;
    const float d = half_at(b + 208);
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, part = i % 128 / 32;
        const int four = low[half * 64 + i % 64] >> part / 2 * 4 & 15;
        const int two = high[half * 32 + i % 32] >> part * 2 & 3;
        out[i] = d * (float)(int8_t)scales[i / 16] * (float)((four | two << 4) - 32);
    }
}

static void read_iq4_xs(const uint8_t *b, float *out) {
    const float d = half_at(b);
    const int high = b[2] | b[3] << 8;
    for (int g = 0; g < 8; g++) {
        const int scale = (b[4 + g / 2] >> g % 2 * 4 & 15) | (high >> 2 * g & 3) << 4;
        const float step = d * (float)(scale - 32);
        const uint8_t *const q = b + 8 + 16 * g;
        for (int i = 0; i < 16; i++) {
            out[32 * g + i] = step * (float)uneven[q[i] & 15];
            out[32 * g + i + 16] = step * (float)uneven[q[i] >> 4];
        }
    }
}

void cscx_read_blocks(cscx_block format, const void *blocks, size_t count, float *out) {
    static void (*const readers[])(const uint8_t *, float *) = {
        [cscx_block_q4_0] = read_q4_0,     [cscx_block_q4_1] = read_q4_1, [cscx_block_q5_0] = read_q5_0,
        [cscx_block_q5_1] = read_q5_1,     [cscx_block_q8_0] = read_q8_0, [cscx_block_q2_k] = read_q2_k,
        [cscx_block_q3_k] = read_q3_k,     [cscx_block_q4_k] = read_q4_k, [cscx_block_q5_k] = read_q5_k,
        [cscx_block_q6_k] = read_q6_k,     [cscx_block_iq4_nl] = read_iq4_nl,
        [cscx_block_iq4_xs] = read_iq4_xs, [cscx_block_mxfp4] = read_mxfp4,
    };
    const uint8_t *bytes = blocks;
    for (size_t i = 0; i < count; i++) {
        readers[format](bytes, out);
        bytes += sizes[format].bytes;
        out += sizes[format].values;
    }
}

// MARK: Formats of Hugging Face's checkpoints

void cscx_read_e4m3(const uint8_t *codes, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t magnitude = codes[i] & 0x7f;
        // The exponents differ by 120; an exact product also makes the subnormals right.
        const uint32_t bits = bits_of_float(float_of_bits(magnitude << 20) * 0x1p120f);
        out[i] = float_of_bits((magnitude == 0x7f ? 0x7fc00000 : bits) | (uint32_t)(codes[i] & 0x80) << 24);
    }
}

void cscx_read_mxfp4(const uint8_t *codes, uint8_t exponent, float *out) {
    const float d = exponent == 255 ? float_of_bits(0x7fc00000) : half_power(exponent);
    for (int i = 0; i < 32; i++) {
        const int code = codes[i / 2] >> i % 2 * 4 & 15;
        // Here zero has a sign, which blocks of GGUF have not.
        out[i] = d * (code == 8 ? -0.0f : (float)doubled[code]);
    }
}
