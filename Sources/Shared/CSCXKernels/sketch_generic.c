// Plain C: the reference of the other instruction sets, and the fallback of other processors.
#include "sketch_internal.h"

/// A 128-bit number modulo p, by 2⁶¹ = 1: its low 61 bits, the next 61, and the rest with its sign.
static uint64_t reduced_wide(__int128 a) {
    const uint64_t low = (uint64_t)a & prime, middle = (uint64_t)(a >> 61) & prime;
    return reduced(low + middle + (uint64_t)((int64_t)(a >> 122) + (int64_t)prime));
}

// A product is at most 2³¹ · 2⁶⁴ in size, so 128 bits hold 2³¹ of them.
static uint64_t dot(const int32_t *q, const uint64_t *s, size_t count) {
    enum { block = 1 << 30 };
    uint64_t total = 0;
    for (size_t start = 0; start < count; start += block) {
        const size_t end = start + block < count ? start + block : count;
        __int128 sum = 0;
        for (size_t i = start; i < end; i++) { sum += (__int128)q[i] * (__int128)s[i]; }
        total = reduced(total + reduced_wide(sum));
    }
    return total;
}

static void weights(const int8_t *w, size_t stride, size_t panels, size_t quads, const uint64_t *s, uint64_t *out) {
    __int128 sums[sketch_columns] = {0};
    for (size_t p = 0; p < panels; p++, w += stride, s += 16) {
        for (size_t c = 0; c < quads * 4; c++) {
            const int8_t *const values = w + c / 4 * 64 + c % 4;
            for (size_t r = 0; r < 16; r++) { sums[c] += (__int128)values[r * 4] * (__int128)s[r]; }
        }
    }
    for (size_t c = 0; c < quads * 4; c++) { out[c] = reduced(out[c] + reduced_wide(sums[c])); }
}

const cscx_sketch_kernels cscx_sketch_generic = {.dot = dot, .weights = weights};
