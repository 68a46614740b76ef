#ifndef CSCX_RING_INTERNAL_H
#define CSCX_RING_INTERNAL_H

#include "include/ring.h"
#include "linear_internal.h"

/// The kernels of an instruction set for products modulo 2³².
///
/// Four columns of a token become four words, `[column / 4][height][4]`. What the words contain depends on the
/// kernels.
typedef struct cscx_ring_kernels {
    /// Adds the tile's products to its sums, for `panels` (1 or the table's entry) and `height` tokens.
    void (*tile)(cscx_format format, const cscx_tile *tile, size_t panels, size_t height);
    /// Packs `quads` groups of four columns of one token; the words of a group begin `4 · height` words after those
    /// of the last.
    void (*split)(const uint32_t *z, size_t quads, size_t height, uint32_t *words);
    /// Runs the tile's innermost arithmetic `rounds` times, and returns the number of multiply-adds done. May be NULL.
    double (*peak)(size_t rounds);
    uint8_t height;                  ///< Of the highest tile.
    uint8_t panels[max_height + 1];  ///< Panels at a time, by height.
} cscx_ring_kernels;

extern const cscx_ring_kernels cscx_ring_generic, cscx_ring_neon, cscx_ring_avx2, cscx_ring_avxvnni, cscx_ring_avx512;

#endif
