#ifndef CSCX_LINEAR_BLOCKS_H
#define CSCX_LINEAR_BLOCKS_H

#include "linear_internal.h"

static inline size_t at_most(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t at_least(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t divided_up(size_t a, size_t b) { return (a + b - 1) / b; }

/// A product of tokens with packed rows: its arithmetic, and how `cscx_multiply_blocks` divides it.
typedef struct cscx_product {
    const cscx_matrix *w;
    const void *x;      ///< float or uint32_t [tokens, columns]
    void *y;            ///< The same type, [tokens, rows].
    const float *bias;  ///< float [rows], or NULL

    void (*tile)(cscx_format format, const cscx_tile *tile, size_t panels, size_t height);
    /// Packs the activations of one tile into `values`, as `cscx_tile.x`, and their scales and sums if there are any.
    void (*prepare)(const struct cscx_product *p, size_t tile);
    /// Writes y from the sums `[panel][token][16]` of `panels` panels from `panel` on and `tokens` tokens from `first`.
    void (*finish)(
        const struct cscx_product *p, const void *sums, size_t panel, size_t panels, size_t first, size_t tokens);
    const cscx_linear_kernels *kernels;    ///< What `prepare` quantises with, or
    const struct cscx_ring_kernels *ring;  ///< what it splits with.
    const uint8_t *together;  ///< Panels at a time, by height.
    size_t height;            ///< Of the highest tile.
    size_t value_bytes;       ///< Of a packed activation.
    size_t block;             ///< Inputs of a block, unless a single tile reads the weights once.
    size_t fetch;             ///< How far ahead a single tile fetches its weights, in bytes.
    size_t group, groups;     ///< Of quantised activations; `groups` is 0 where there are none.

    // Set for each batch of tokens.
    size_t tokens, tiles;    ///< Tile i covers the tokens from first_token(i) to first_token(i + 1).
    size_t columns, panels;  ///< Padded.
    uint8_t *values;         ///< [tile], each as cscx_tile.x
    float *scales;           ///< [tile][group][height]
    int32_t *sums;           ///< [tile][group][height]
    size_t panels_per_job, tiles_per_job, chunks;
} cscx_product;

static inline size_t first_token(const cscx_product *p, size_t tile) { return tile * p->tokens / p->tiles; }

/// Multiplies all tokens.
///
/// Returns false when there is no memory for a token's activations; y is then only partly written.
bool cscx_multiply_blocks(cscx_product *p, size_t tokens, cscx_runner threads);

#endif
