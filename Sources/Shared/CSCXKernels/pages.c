// Pages of the cache of keys and values: their memory, and how elements are stored.

#include "pages_layout.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "bits.h"

size_t cscx_page_head_bytes(cscx_kv_format format, size_t head_size) {
    return cscx_page_parts_of(format, head_size, 1).keys;
}

void *cscx_page_create(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

void cscx_page_free(void *page) { free(page); }

void cscx_wipe(void *start, size_t bytes) {
    if (bytes == 0) { return; }
    memset(start, 0, bytes);
    __asm__ volatile("" : : "r"(start) : "memory");  // else the compiler leaves out what nobody reads
}

// Up to 16 elements as they are stored.
typedef union cells {
    float f32[16];
    uint16_t half[16];
    int8_t int8[16];
} cells;

static inline uint16_t bf16_of(float x) {
    const uint32_t bits = bits_of_float(x);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x != x ? bits >> 16 | 0x40 : rounded);
}

static inline uint16_t f16_of(float x) {
    const uint32_t bits = bits_of_float(x), magnitude = bits & 0x7fffffff;
    // From 2^-14 on the exponents differ by 112; below, halves are multiples of 2^-24, as is a float32 near 1/2.
    uint32_t half = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
    const uint32_t small = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
    half = magnitude < 0x38800000 ? small : half;
    half = magnitude >= 0x477ff000 ? 0x7bff : half;  // what would be rounded beyond 65504
    half = magnitude >= 0x7f800000 ? 0x7c00 : half;
    half = magnitude > 0x7f800000 ? 0x7e00 : half;
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

// The scale of a head's int8 elements.
static float scale_of(const float *from, size_t count) {
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t magnitude = bits_of_float(from[i]) & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    if (most >= 0x7f800000) { return NAN; }
    float scale = float_of_bits(most) / 127;
    if (scale * 127 > FLT_MAX) { scale = float_of_bits(bits_of_float(scale) - 1); }
    // Never so small that the quotients would be inexact.
    return scale > FLT_MIN ? scale : FLT_MIN;
}

static inline int8_t int8_of(float x, float scale) {
    // The sum's low bits are the nearest integer, at most 127 by the choice of the scale.
    return (int8_t)bits_of_float(x / scale + 12582912.0f);
}

// Stores `count` <= 16 elements; those that follow are zeros.
static inline cells encode(cscx_kv_format format, const float *from, size_t count, float scale) {
    float x[16] = {0};
    memcpy(x, from, count * sizeof(float));
    cells to = {{0}};
    switch (format) {
    case cscx_kv_f32: memcpy(to.f32, x, sizeof x); break;
    case cscx_kv_bf16:
        for (int i = 0; i < 16; i++) { to.half[i] = bf16_of(x[i]); }
        break;
    case cscx_kv_f16:
        for (int i = 0; i < 16; i++) { to.half[i] = f16_of(x[i]); }
        break;
    case cscx_kv_int8:
        if (scale != scale) { break; }
        for (int i = 0; i < 16; i++) { to.int8[i] = int8_of(x[i], scale); }
        break;
    }
    return to;
}

static inline float decode(cscx_kv_format format, const void *from, size_t index, float scale) {
    switch (format) {
    case cscx_kv_f32: return ((const float *)from)[index];
    case cscx_kv_bf16: return float_of_bits((uint32_t)((const uint16_t *)from)[index] << 16);
    case cscx_kv_f16: return float_of_f16(((const uint16_t *)from)[index]);
    case cscx_kv_int8: return (float)((const int8_t *)from)[index] * scale;
    }
}

// The channels of a key are 16 elements apart.
static inline void scatter(cscx_kv_format format, void *to, size_t index, const cells *from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        switch (format) {
        case cscx_kv_f32: ((float *)to)[index + i * 16] = from->f32[i]; break;
        case cscx_kv_int8: ((int8_t *)to)[index + i * 16] = from->int8[i]; break;
        case cscx_kv_bf16:
        case cscx_kv_f16: ((uint16_t *)to)[index + i * 16] = from->half[i]; break;
        }
    }
}

// The first key element of a slot, and its first value element.
static size_t key_index(size_t slot, size_t head_size) { return slot / 16 * 16 * head_size + slot % 16; }
static size_t value_index(size_t slot) { return slot * 16; }

// `format` is a constant at each call.
static inline __attribute__((always_inline)) void write_head(
    char *page, cscx_kv_format format, size_t head_size, size_t head, size_t slot, const float *key,
    const float *value) {
    const cscx_page_parts parts = cscx_page_parts_of(format, head_size, head);
    const size_t size = cscx_kv_size(format);
    float key_scale = 1, value_scale = 1;
    if (format == cscx_kv_int8) {
        key_scale = scale_of(key, head_size);
        value_scale = scale_of(value, head_size);
        memcpy(page + parts.key_scales + slot * sizeof(float), &key_scale, sizeof(float));
        memcpy(page + parts.value_scales + slot * sizeof(float), &value_scale, sizeof(float));
    }
    for (size_t d = 0; d < head_size; d += 16) {
        const size_t count = head_size - d < 16 ? head_size - d : 16;
        const cells keys = encode(format, key + d, count, key_scale);
        scatter(format, page + parts.keys, key_index(slot, head_size) + d * 16, &keys, count);
        const cells values = encode(format, value + d, count, value_scale);
        memcpy(page + parts.values + (value_index(slot) + d * cscx_page_tokens) * size, &values, 16 * size);
    }
}

void cscx_page_write(void *page, cscx_kv_format format, size_t kv_heads, size_t head_size, size_t first, size_t tokens,
                     const float *keys, const float *values, size_t stride) {
    for (size_t h = 0; h < kv_heads; h++) {
        for (size_t t = 0; t < tokens; t++) {
            const float *const k = keys + t * stride + h * head_size;
            const float *const v = values + t * stride + h * head_size;
            switch (format) {
            case cscx_kv_f32: write_head(page, cscx_kv_f32, head_size, h, first + t, k, v); break;
            case cscx_kv_bf16: write_head(page, cscx_kv_bf16, head_size, h, first + t, k, v); break;
            case cscx_kv_f16: write_head(page, cscx_kv_f16, head_size, h, first + t, k, v); break;
            case cscx_kv_int8: write_head(page, cscx_kv_int8, head_size, h, first + t, k, v); break;
            }
        }
    }
}

void cscx_page_read(const void *page, cscx_kv_format format, size_t kv_heads, size_t head_size, size_t slot,
                    float *keys, float *values) {
    for (size_t h = 0; h < kv_heads; h++) {
        const cscx_page_parts parts = cscx_page_parts_of(format, head_size, h);
        const char *const start = page;
        float key_scale = 1, value_scale = 1;
        if (format == cscx_kv_int8) {
            memcpy(&key_scale, start + parts.key_scales + slot * sizeof(float), sizeof(float));
            memcpy(&value_scale, start + parts.value_scales + slot * sizeof(float), sizeof(float));
        }
        for (size_t d = 0; d < head_size; d++) {
            const size_t value = value_index(slot) + d / 16 * 16 * cscx_page_tokens + d % 16;
            keys[h * head_size + d] = decode(format, start + parts.keys, key_index(slot, head_size) + d * 16, key_scale);
            values[h * head_size + d] = decode(format, start + parts.values, value, value_scale);
        }
    }
}

void cscx_kv_round(cscx_kv_format format, size_t head_size, const float *from, float *to) {
    const float scale = format == cscx_kv_int8 ? scale_of(from, head_size) : 1;
    for (size_t d = 0; d < head_size; d += 16) {
        const size_t count = head_size - d < 16 ? head_size - d : 16;
        const cells stored = encode(format, from + d, count, scale);
        for (size_t i = 0; i < count; i++) { to[d + i] = decode(format, &stored, i, scale); }
    }
}
