// How attention reads the elements of a page, for the vector width and the target of the including file.

#include "pages_layout.h"

enum { V = 16 / CSCX_LANES };  // vectors per 16 floats

// Keys or values of one key-value head in a page. `format` is a constant wherever elements are read.
typedef struct stored {
    const void *data;
    const void *ahead;  // the same in the next page
    cscx_kv_format format;
} stored;

INLINE stored with(stored from, cscx_kv_format format) { return (stored){from.data, from.ahead, format}; }

// IEEE halves as float32, exactly.
INLINE vf load_f16(const uint16_t *p) {
#if CSCX_LANES == 16
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif CSCX_LANES == 8
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#elif defined(__aarch64__)
    typedef __fp16 vn __attribute__((ext_vector_type(CSCX_LANES)));
    vn half;
    memcpy(&half, p, sizeof half);
    return __builtin_convertvector(half, vf);
#else
    vh half;
    memcpy(&half, p, sizeof half);
    const vi bits = __builtin_convertvector(half, vi), magnitude = bits & 0x7fff;
    // The exponents differ by 112; an exact product also makes the subnormals right.
    const vi number = bits_of(of_bits(magnitude << 13) * 0x1p112f);
    return of_bits(number | ((magnitude >= 0x7c00) & 0x7f800000) | (bits & 0x8000) << 16);
#endif
}

INLINE vf load_int8(const int8_t *p) {
    typedef int8_t vb __attribute__((ext_vector_type(CSCX_LANES)));
    vb bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, vi), vf);
}

// 16 adjacent elements as float32, without their scale.
INLINE void load16(stored from, size_t index, vf out[V]) {
    for (int i = 0; i < V; i++) {
        const size_t at = index + i * CSCX_LANES;
        switch (from.format) {
        case cscx_kv_f32: out[i] = load((const float *)from.data + at); break;
        case cscx_kv_bf16: out[i] = load_bf16((const uint16_t *)from.data + at); break;
        case cscx_kv_f16: out[i] = load_f16((const uint16_t *)from.data + at); break;
        case cscx_kv_int8: out[i] = load_int8((const int8_t *)from.data + at); break;
        }
    }
}

// Prefetches into the second-level cache the part of the next page that is at the place of `count` elements from
// `index` on.
//
// Without it a decode step waits for memory, because processors do not predict the streams of several blocks.
INLINE void fetch(stored from, size_t index, size_t count) {
    const char *const start = (const char *)from.ahead + index * cscx_kv_size(from.format);
    for (size_t i = 0; i < count * cscx_kv_size(from.format); i += 64) { __builtin_prefetch(start + i, 0, 2); }
}

INLINE void widen_as(stored from, float *to, size_t first, size_t last) {
    for (size_t i = first; i < last; i += 16) {
        vf v[V];
        fetch(from, i, 16);
        load16(from, i, v);
        for (int j = 0; j < V; j++) { store(to + i + j * CSCX_LANES, v[j]); }
    }
}

// Copies the elements from `first` to before `last`, multiples of 16, as float32.
static void widen(stored from, float *to, size_t first, size_t last) {
    switch (from.format) {
    case cscx_kv_f32: return widen_as(with(from, cscx_kv_f32), to, first, last);
    case cscx_kv_bf16: return widen_as(with(from, cscx_kv_bf16), to, first, last);
    case cscx_kv_f16: return widen_as(with(from, cscx_kv_f16), to, first, last);
    case cscx_kv_int8: return widen_as(with(from, cscx_kv_int8), to, first, last);
    }
}
