#ifndef CSCX_SKETCH_INTERNAL_H
#define CSCX_SKETCH_INTERNAL_H

#include "include/sketch.h"

/// How many columns one call of a kernel computes: their weights are 4 KiB of a panel.
enum { sketch_columns = 256 };

/// The kernels of an instruction set.
typedef struct cscx_sketch_kernels {
    uint64_t (*dot)(const int32_t *q, const uint64_t *s, size_t count);
    /// out[c] += Σ w[r, c] · s[r] modulo p over the rows of `panels` panels, at most `sketch_panels` of them, for
    /// `quads` groups of four columns, at most `sketch_columns` / 4; `stride` bytes lie between panels.
    void (*weights)(
        const int8_t *w, size_t stride, size_t panels, size_t quads, const uint64_t *s, uint64_t *out);
} cscx_sketch_kernels;

/// 2²³ rows: see `weights` in sketch_kernels.h.
enum { sketch_panels = 1 << 19 };

extern const cscx_sketch_kernels cscx_sketch_generic, cscx_sketch_avx2, cscx_sketch_avx512;

static const uint64_t prime = (UINT64_C(1) << 61) - 1;

/// Any number modulo p, in 0 ..< p.
static inline uint64_t reduced(uint64_t a) {
    const uint64_t folded = (a & prime) + (a >> 61);  // at most p + 7
    const uint64_t less = folded - prime;
    return less + (prime & -(less >> 63));  // p again where the difference was negative
}

/// A number of -2p to 2p modulo p.
static inline uint64_t reduced_signed(int64_t a) { return reduced((uint64_t)a + 2 * prime); }

/// a · 2^bits modulo p, for a in 0 ..< p: its 61 bits rotated.
static inline uint64_t shifted(uint64_t a, int bits) { return reduced((a << bits & prime) | a >> (61 - bits)); }

#endif
