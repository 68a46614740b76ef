// Products modulo 2³²: divided into blocks as in linear.c, with other tiles.
#include "ring_internal.h"

#include "linear_blocks.h"

static const cscx_ring_kernels *kernels_of(cscx_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case cscx_isa_avx2: return __builtin_cpu_supports("avxvnni") ? &cscx_ring_avxvnni : &cscx_ring_avx2;
    case cscx_isa_avx512:
    case cscx_isa_avx512bf16: return &cscx_ring_avx512;
#elif defined(__aarch64__)
    case cscx_isa_neon: return &cscx_ring_neon;
#endif
    default: return &cscx_ring_generic;
    }
}

/// Packs the elements of one tile, columns padded with zeros.
static void prepare(const cscx_product *p, size_t tile) {
    const size_t first = first_token(p, tile), height = first_token(p, tile + 1) - first;
    const size_t columns = p->w->columns, quads = columns / 4;
    uint32_t *const words = (uint32_t *)p->values + first * p->columns;
    for (size_t t = 0; t < height; t++) {
        const uint32_t *const z = (const uint32_t *)p->x + (first + t) * columns;
        p->ring->split(z, quads, height, words + 4 * t);
        uint32_t rest[8] = {0};
        memcpy(rest, z + 4 * quads, (columns - 4 * quads) * sizeof(uint32_t));
        p->ring->split(rest, p->columns / 4 - quads, height, words + 4 * (quads * height + t));
    }
}

static void finish(
    const cscx_product *p, const void *sums, size_t panel, size_t panels, size_t first, size_t tokens) {
    for (size_t i = 0; i < panels; i++) {
        const size_t row = (panel + i) * 16, count = at_most(16, p->w->rows - row);
        for (size_t t = 0; t < tokens; t++) {
            const uint32_t *const sum = (const uint32_t *)sums + (i * tokens + t) * 16;
            memcpy((uint32_t *)p->y + (first + t) * p->w->rows + row, sum, count * sizeof(uint32_t));
        }
    }
}

bool cscx_ring_linear(
    cscx_isa isa, const cscx_matrix *w, const uint32_t *z, uint32_t *y, size_t tokens, cscx_runner threads) {
    const cscx_ring_kernels *const kernels = kernels_of(isa);
    cscx_product p = {
        .w = w, .x = z, .y = y, .tile = kernels->tile, .prepare = prepare, .finish = finish, .ring = kernels,
        .together = kernels->panels, .height = kernels->height, .value_bytes = sizeof(uint32_t), .block = 512,
        .fetch = 2048,
    };
    return cscx_multiply_blocks(&p, tokens, threads);
}

double cscx_probe_ring_peak(cscx_isa isa, size_t rounds) {
    const cscx_ring_kernels *const kernels = kernels_of(isa);
    if (kernels->peak) { return kernels->peak(rounds); }
    // On other processors, a tile on a block that stays in the first-level cache.
    static const uint8_t weights[64 * 16];
    static const uint32_t z[64 * 4];
    uint32_t out[16 * 4] = {0};
    const cscx_tile tile = {.weights = weights, .x = z, .columns = 64, .ring_sums = out, .sums_stride = 64};
    for (size_t i = 0; i < rounds; i++) { kernels->tile(cscx_format_int8, &tile, 1, 4); }
    return (double)rounds * 64 * 16 * 4;
}

// MARK: Norms

typedef struct norms {
    const cscx_matrix *w;
    uint64_t *squares;
} norms;

/// Computes the norms of the rows of one panel.
static void norms_of_panel(void *context, size_t panel) {
    const norms *const n = context;
    // A square is at most 2¹⁴, so 32 bits hold those of 2¹⁷ groups of four columns.
    enum { quads_at_once = 1 << 17 };
    const size_t quads = cscx_padded_columns(cscx_format_int8, n->w->columns) / 4;
    const int8_t *w = (const int8_t *)n->w->values + panel * quads * 64;
    uint64_t squares[16] = {0};
    for (size_t start = 0; start < quads; start += quads_at_once) {
        uint32_t sums[64] = {0};
        for (size_t q = start; q < at_most(start + quads_at_once, quads); q++, w += 64) {
            for (size_t i = 0; i < 64; i++) { sums[i] += (uint32_t)(w[i] * w[i]); }
        }
        for (size_t i = 0; i < 64; i++) { squares[i / 4] += sums[i]; }
    }
    memcpy(n->squares + panel * 16, squares, at_most(16, n->w->rows - panel * 16) * sizeof(uint64_t));
}

void cscx_row_norms(const cscx_matrix *w, uint64_t *squares, cscx_runner threads) {
    norms n = {w, squares};
    threads.run(threads.context, divided_up(w->rows, 16), norms_of_panel, &n);
}
