#include "linear_blocks.h"

enum { panel_block_bytes = 16 << 10 };  // weights of a panel that stay in the first cache

static const cscx_linear_kernels *kernels_of(cscx_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case cscx_isa_avx2: return &cscx_linear_avx2;
    case cscx_isa_avx512: return &cscx_linear_avx512;
    case cscx_isa_avx512bf16: return &cscx_linear_avx512bf16;
#elif defined(__aarch64__)
    case cscx_isa_neon: return &cscx_linear_neon;
#endif
    default: return &cscx_linear_generic;
    }
}

static inline bool quantised(cscx_format format) { return format >= cscx_format_int8; }

/// Packs the activations of one tile.
static void prepare(const cscx_product *p, size_t tile) {
    const size_t first = first_token(p, tile), height = first_token(p, tile + 1) - first;
    const size_t columns = p->w->columns;
    uint8_t *const values = p->values + first * p->columns * p->value_bytes;
    for (size_t t = 0; t < height; t++) {
        const float *const x = (const float *)p->x + (first + t) * columns;
        if (quantised(p->w->format)) {
            // The groups of one piece at a time, interleaved by tokens.
            enum { piece = 1024 };
            int8_t q[piece];
            float scales[piece / 32];
            int32_t sums[piece / 32];
            uint32_t *const words = (uint32_t *)values;
            for (size_t start = 0; start < columns; start += piece) {
                const size_t count = at_most(piece, columns - start), group0 = start / p->group;
                p->kernels->quantise(x + start, count, p->group, q, scales, sums);
                for (size_t i = 0; i < at_most(piece, p->columns - start) / 4; i++) {
                    memcpy(&words[(start / 4 + i) * height + t], q + 4 * i, 4);
                }
                for (size_t g = 0; g < divided_up(count, p->group); g++) {
                    p->scales[first * p->groups + (group0 + g) * height + t] = scales[g];
                    p->sums[first * p->groups + (group0 + g) * height + t] = sums[g];
                }
            }
        } else if (p->value_bytes == 2) {
            uint16_t *const pairs = (uint16_t *)values;
            for (size_t c = 0; c < p->columns; c++) {
                pairs[(c / 2 * height + t) * 2 + c % 2] = c < columns ? bf16_of_float(x[c]) : 0;
            }
        } else {
            float *const floats = (float *)values;
            for (size_t c = 0; c < columns; c++) { floats[c * height + t] = x[c]; }
            if (p->columns > columns) { floats[columns * height + t] = 0; }
        }
    }
}

/// Scales the sums of the panels from `panel` on if rows have scales, adds the bias, and writes y.
static void finish(
    const cscx_product *p, const void *sums, size_t panel, size_t panels, size_t first, size_t tokens) {
    const float *const row_scales = p->w->group == 0 ? p->w->scales : NULL;
    for (size_t i = 0; i < panels; i++) {
        const size_t row = (panel + i) * 16, count = at_most(16, p->w->rows - row);
        float scale[16], bias[16];
        for (size_t r = 0; r < 16; r++) {
            scale[r] = row_scales ? row_scales[row + r] : 1;
            bias[r] = p->bias && r < count ? p->bias[row + r] : 0;
        }
        for (size_t t = 0; t < tokens; t++) {
            const float *const sum = (const float *)sums + (i * tokens + t) * 16;
            float *const y = (float *)p->y + (first + t) * p->w->rows + row;
            if (count == 16) {
                for (size_t r = 0; r < 16; r++) { y[r] = sum[r] * scale[r] + bias[r]; }
            } else {
                for (size_t r = 0; r < count; r++) { y[r] = sum[r] * scale[r] + bias[r]; }
            }
        }
    }
}

bool cscx_linear(
    cscx_isa isa, const cscx_matrix *w, const float *x, const float *bias, float *y, size_t tokens,
    cscx_runner threads) {
    const cscx_linear_kernels *const kernels = kernels_of(isa);
    const cscx_format format = w->format;
    cscx_product p = {
        .w = w, .x = x, .y = y, .bias = bias, .tile = kernels->tile, .prepare = prepare, .finish = finish,
        .kernels = kernels, .together = kernels->panels[format], .height = kernels->heights[format],
        .value_bytes = quantised(format) ? 1 : format == cscx_format_bf16 && kernels->rounds_to_bf16 ? 2 : 4,
        .block = at_least(128, panel_block_bytes / (64 >> format)), .fetch = 1024,
        .group = format == cscx_format_int4 ? 32 : w->group ? w->group : 128,
    };
    p.groups = quantised(format) ? divided_up(w->columns, p.group) : 0;
    return cscx_multiply_blocks(&p, tokens, threads);
}

// MARK: Packing

typedef struct packing {
    const cscx_linear_kernels *kernels;
    const cscx_matrix *w;
    const uint8_t *source;
    cscx_source type;
    size_t first, last;
} packing;

static void pack_one(void *context, size_t job) {
    const packing *const p = context;
    // A job is the part of the rows that is in one panel, so that no two jobs write to the same 64 bytes.
    const size_t panel = p->first / 16 + job;
    const size_t first = at_least(p->first, panel * 16), last = at_most(p->last, panel * 16 + 16);
    const size_t row_bytes = p->w->columns * (p->type == cscx_source_f32 ? 4 : 2);
    p->kernels->pack(p->w, p->source + (first - p->first) * row_bytes, p->type, first, last);
}

void cscx_pack(
    const cscx_matrix *w, const void *source, cscx_source type, size_t first, size_t count, cscx_runner threads) {
    if (count == 0) { return; }
    packing p = {kernels_of(cscx_detect_isa()), w, source, type, first, first + count};
    threads.run(threads.context, divided_up(first + count, 16) - first / 16, pack_one, &p);
}

void cscx_dequantize(const cscx_matrix *w, size_t row, float *out) {
    const size_t panel = row / 16, lane = row % 16;
    const size_t columns = cscx_padded_columns(w->format, w->columns);
    const uint8_t *const values = (const uint8_t *)w->values + panel * columns * (64 >> w->format);
    const uint16_t *const scales
        = w->group ? (const uint16_t *)w->scales + panel * divided_up(w->columns, w->group) * 16 : NULL;
    for (size_t c = 0; c < w->columns; c++) {
        switch (w->format) {
        case cscx_format_f32: out[c] = ((const float *)values)[c * 16 + lane]; break;
        case cscx_format_bf16:
            out[c] = float_of_bf16(((const uint16_t *)values)[c / 2 * 32 + lane * 2 + c % 2]);
            break;
        case cscx_format_int8: {
            const float scale = scales ? float_of_bf16(scales[c / w->group * 16 + lane]) : ((float *)w->scales)[row];
            out[c] = (float)((const int8_t *)values)[c / 4 * 64 + lane * 4 + c % 4] * scale;
            break;
        }
        case cscx_format_int4: {
            const uint8_t pair = values[c / 8 * 64 + lane * 4 + c % 4];
            out[c] = (float)((c % 8 < 4 ? pair & 15 : pair >> 4) - 8) * float_of_bf16(scales[c / w->group * 16 + lane]);
            break;
        }
        }
    }
}
