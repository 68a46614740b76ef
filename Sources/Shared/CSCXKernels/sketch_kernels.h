// Sums modulo p = 2⁶¹ - 1 in vectors, by the macros of the including file. No header guard.
//
//     CSCX_NAME(name)       a name of this instance
//     CSCX_LANES            64-bit lanes of a vector, 4 or 8
//     CSCX_MULTIPLY(a, b)   the 64-bit products of the lanes' low 32 bits, as signed numbers

#include <string.h>

#include "sketch_internal.h"

#define INLINE static inline __attribute__((always_inline))

typedef int64_t lanes __attribute__((vector_size(8 * CSCX_LANES)));
typedef uint64_t unsigned_lanes __attribute__((vector_size(8 * CSCX_LANES)));
typedef int32_t words __attribute__((vector_size(4 * CSCX_LANES)));
typedef int8_t bytes __attribute__((vector_size(CSCX_LANES)));

INLINE int64_t sum_of(lanes v) {
    int64_t sum = 0;
    for (size_t i = 0; i < CSCX_LANES; i++) { sum += v[i]; }
    return sum;
}

/// Adds the products of CSCX_LANES elements with the three parts of s.
INLINE void add_products(const int32_t *q, const uint64_t *s, lanes sums[3]) {
    words q32;
    memcpy(&q32, q, sizeof q32);
    const lanes q64 = __builtin_convertvector(q32, lanes);
    unsigned_lanes parts;
    memcpy(&parts, s, sizeof parts);
    sums[0] += CSCX_MULTIPLY(q64, parts & 0x1fffff);
    sums[1] += CSCX_MULTIPLY(q64, parts >> 21 & 0x1fffff);
    sums[2] += CSCX_MULTIPLY(q64, parts >> 42);
}

// s = s0 + 2²¹ · s1 + 2⁴² · s2 with s0 and s1 below 2²¹ and s2 below 2²². A product with q is at most
// 2³¹ · (2²² - 1) in size, and 512 of them 2⁶² - 2⁴⁰ < 2p, however they are shared among lanes.
static uint64_t dot(const int32_t *q, const uint64_t *s, size_t count) {
    enum { block = 512 };
    uint64_t total = 0;
    for (size_t start = 0; start < count; start += block) {
        const size_t end = start + block < count ? start + block : count;
        lanes sums[3] = {{0}, {0}, {0}};
        size_t i = start;
        for (; i + CSCX_LANES <= end; i += CSCX_LANES) { add_products(q + i, s + i, sums); }
        if (i < end) {
            int32_t last_q[CSCX_LANES] = {0};
            uint64_t last_s[CSCX_LANES] = {0};
            memcpy(last_q, q + i, (end - i) * sizeof *q);
            memcpy(last_s, s + i, (end - i) * sizeof *s);
            add_products(last_q, last_s, sums);
        }
        const uint64_t low = reduced_signed(sum_of(sums[0]));
        const uint64_t middle = shifted(reduced_signed(sum_of(sums[1])), 21);
        const uint64_t high = shifted(reduced_signed(sum_of(sums[2])), 42);
        total = reduced(total + low + middle + high);  // below 4p < 2⁶³
    }
    return total;
}

// s modulo p is s0 + 2³¹ · s1 with both below 2³¹. A product with a weight is at most 2⁷ · 2³¹ in size, and the sum of
// 2²³ rows 2⁶¹ < 2p.
static void weights(const int8_t *w, size_t stride, size_t panels, size_t quads, const uint64_t *s, uint64_t *out) {
    // A vector is four columns of one row, or of two.
    enum { rows = CSCX_LANES / 4, steps = 16 / rows };
    lanes sums[sketch_columns / 4][2];
    memset(sums, 0, quads * sizeof sums[0]);
    for (size_t p = 0; p < panels; p++, w += stride, s += 16) {
        lanes low[steps], high[steps];
        for (size_t r = 0; r < 16; r++) {
            const uint64_t value = reduced(s[r]);
            for (size_t j = 0; j < 4; j++) {
                low[r / rows][r % rows * 4 + j] = value & 0x7fffffff;
                high[r / rows][r % rows * 4 + j] = (int64_t)(value >> 31);
            }
        }
        for (size_t q = 0; q < quads; q++) {
            lanes sum0 = sums[q][0], sum1 = sums[q][1];
            for (size_t i = 0; i < steps; i++) {
                bytes w8;
                memcpy(&w8, w + q * 64 + i * CSCX_LANES, sizeof w8);
                const lanes w64 = __builtin_convertvector(w8, lanes);
                sum0 += CSCX_MULTIPLY(w64, low[i]);
                sum1 += CSCX_MULTIPLY(w64, high[i]);
            }
            sums[q][0] = sum0;
            sums[q][1] = sum1;
        }
    }
    for (size_t q = 0; q < quads; q++) {
        for (size_t j = 0; j < 4; j++) {
            int64_t low = 0, high = 0;
            for (size_t r = 0; r < rows; r++) {
                low += sums[q][0][r * 4 + j];
                high += sums[q][1][r * 4 + j];
            }
            uint64_t *const to = out + q * 4 + j;
            *to = reduced(*to + reduced_signed(low) + shifted(reduced_signed(high), 31));
        }
    }
}

const cscx_sketch_kernels CSCX_NAME(cscx_sketch) = {.dot = dot, .weights = weights};
