// Plain C: the reference of the other instruction sets, and the fallback of other processors.
#include "linear_internal.h"
#include "linear_pack.h"

static void tile_f32(const cscx_tile *t, size_t height) {
    const float *const w = (const float *)t->weights, *const x = t->x;
    for (size_t c = 0; c < t->columns; c++) {
        for (size_t i = 0; i < height; i++) {
            for (size_t r = 0; r < 16; r++) { t->sums[i * 16 + r] += w[c * 16 + r] * x[c * height + i]; }
        }
    }
}

static void tile_bf16(const cscx_tile *t, size_t height) {
    const uint16_t *const w = (const uint16_t *)t->weights;
    const float *const x = t->x;
    for (size_t c = 0; c < t->columns; c++) {
        float row[16];
        for (size_t r = 0; r < 16; r++) { row[r] = float_of_bf16(w[c / 2 * 32 + r * 2 + c % 2]); }
        for (size_t i = 0; i < height; i++) {
            for (size_t r = 0; r < 16; r++) { t->sums[i * 16 + r] += row[r] * x[c * height + i]; }
        }
    }
}

static void tile_integer(const cscx_tile *t, size_t height, bool int4) {
    const int8_t *const x = t->x;
    for (size_t start = 0, g = 0; start < t->columns; start += t->group, g++) {
        const size_t end = start + t->group < t->columns ? start + t->group : t->columns;
        for (size_t i = 0; i < height; i++) {
            int32_t dot[16] = {0};
            for (size_t c = start; c < end; c++) {
                const int32_t value = x[(c / 4 * height + i) * 4 + c % 4];
                for (size_t r = 0; r < 16; r++) {
                    const uint8_t pair = t->weights[c / 8 * 64 + r * 4 + c % 4];
                    dot[r] += value * (int4 ? (c % 8 < 4 ? pair & 15 : pair >> 4) - 8
                                            : ((const int8_t *)t->weights)[c / 4 * 64 + r * 4 + c % 4]);
                }
            }
            for (size_t r = 0; r < 16; r++) {
                const float scale = t->scales ? float_of_bf16(t->scales[g / t->groups_per_scale * 16 + r]) : 1;
                t->sums[i * 16 + r] += (float)dot[r] * (scale * t->x_scales[g * height + i]);
            }
        }
    }
}

static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)panels;  // always 1
    switch (format) {
    case cscx_format_f32: tile_f32(t, height); break;
    case cscx_format_bf16: tile_bf16(t, height); break;
    case cscx_format_int8: tile_integer(t, height, false); break;
    case cscx_format_int4: tile_integer(t, height, true); break;
    }
}

static void quantise(const float *x, size_t columns, size_t group, int8_t *q, float *scales, int32_t *sums) {
    quantise_groups(x, columns, group, q, scales, sums);
}

static void pack(const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t last) {
    pack_panel(w, source, type, first, last);
}

const cscx_linear_kernels cscx_linear_generic = {
    .tile = tile,
    .quantise = quantise,
    .pack = pack,
    .heights = {4, 4, 4, 4},
    .panels = {{0, 1, 1, 1, 1}, {0, 1, 1, 1, 1}, {0, 1, 1, 1, 1}, {0, 1, 1, 1, 1}},
};
