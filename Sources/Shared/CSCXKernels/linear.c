#include "linear_internal.h"

#include <pthread.h>
#include <stdlib.h>

// Sizes of the blocking. A panel's block stays in the first cache while the tiles of a chunk pass over it, and the
// chunk's block in the second while the panels do.
enum {
    panel_block_bytes = 16 << 10,
    chunk_tokens = 120,
    chunk_bytes = 256 << 10,   // a chunk of this size stays in the second cache with all its inputs
    sums_count = 16 << 10,     // floats of the accumulators of a chunk, on the stack
    scratch_bytes = 16 << 20,  // packed activations at a time
    job_bytes = 128 << 10,     // weights worth the hand-over of a job
    fetch_bytes = 1024,        // how far ahead a single tile fetches its weights
};

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

static inline size_t at_most(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t at_least(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t divided_up(size_t a, size_t b) { return (a + b - 1) / b; }

// MARK: Scratch memory for the packed activations, one per calling thread and kept, since a token needs it often.

typedef struct scratch {
    size_t bytes;
    _Alignas(64) uint8_t data[];
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_kept;

static void make_scratch_key(void) { scratch_kept = pthread_key_create(&scratch_key, free) == 0; }

/// At least `bytes` of this thread's scratch memory, or NULL.
static uint8_t *scratch_of(size_t bytes) {
    pthread_once(&scratch_once, make_scratch_key);
    if (!scratch_kept) { return NULL; }
    scratch *s = pthread_getspecific(scratch_key);
    if (s && s->bytes >= bytes) { return s->data; }
    free(s);
    pthread_setspecific(scratch_key, NULL);
    s = aligned_alloc(64, (sizeof(scratch) + bytes + 63) / 64 * 64);
    if (!s) { return NULL; }
    s->bytes = bytes;
    if (pthread_setspecific(scratch_key, s) != 0) { free(s); return NULL; }
    return s->data;
}

// MARK: One product of a block of tokens

typedef struct product {
    const cscx_linear_kernels *kernels;
    const cscx_matrix *w;
    const float *x, *bias;
    float *y;
    size_t tokens, tiles;   // tile i covers the tokens from first_token(i) to first_token(i + 1)
    size_t columns, panels;  // padded
    size_t group, groups;   // of activations
    size_t value_bytes;     // of an activation
    uint8_t *values;        // [tile], each as cscx_tile.x
    float *scales;          // [tile][group][height]
    int32_t *sums;
    size_t panels_per_job, tiles_per_job, chunks;
} product;

static inline size_t first_token(const product *p, size_t tile) { return tile * p->tokens / p->tiles; }

static inline bool quantised(cscx_format format) { return format >= cscx_format_int8; }

/// Packs the activations of one tile.
static void prepare(void *context, size_t tile) {
    const product *const p = context;
    const size_t first = first_token(p, tile), height = first_token(p, tile + 1) - first;
    const size_t columns = p->w->columns;
    uint8_t *const values = p->values + first * p->columns * p->value_bytes;
    for (size_t t = 0; t < height; t++) {
        const float *const x = p->x + (first + t) * columns;
        if (quantised(p->w->format)) {
            // Groups of a piece at a time, interleaved by tokens.
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

/// Scales the sums of the panels from `panel` on where rows have scales, adds the bias, and writes y.
static void finish(const product *p, const float *sums, size_t panel, size_t panels, size_t first, size_t tokens) {
    const float *const row_scales = p->w->group == 0 ? p->w->scales : NULL;
    for (size_t i = 0; i < panels; i++) {
        const size_t row = (panel + i) * 16, count = at_most(16, p->w->rows - row);
        float scale[16], bias[16];
        for (size_t r = 0; r < 16; r++) {
            scale[r] = row_scales ? row_scales[row + r] : 1;
            bias[r] = p->bias && r < count ? p->bias[row + r] : 0;
        }
        for (size_t t = 0; t < tokens; t++) {
            const float *const sum = sums + (i * tokens + t) * 16;
            float *const y = p->y + (first + t) * p->w->rows + row;
            if (count == 16) {
                for (size_t r = 0; r < 16; r++) { y[r] = sum[r] * scale[r] + bias[r]; }
            } else {
                for (size_t r = 0; r < count; r++) { y[r] = sum[r] * scale[r] + bias[r]; }
            }
        }
    }
}

/// Multiplies a chunk of tokens by a range of panels.
static void multiply(void *context, size_t job) {
    const product *const p = context;
    const cscx_format format = p->w->format;
    const size_t chunk = job % p->chunks, range = job / p->chunks;
    const size_t tile0 = chunk * p->tiles_per_job, tile1 = at_most(tile0 + p->tiles_per_job, p->tiles);
    const size_t panel0 = range * p->panels_per_job, panel1 = at_most(panel0 + p->panels_per_job, p->panels);
    const size_t first = first_token(p, tile0), tokens = first_token(p, tile1) - first;

    const size_t input_bytes = 64 >> format, panel_bytes = p->columns * input_bytes;
    const size_t block = tile1 - tile0 == 1 ? p->columns : at_least(128, panel_block_bytes / input_bytes);
    const size_t scale_groups = p->w->group ? divided_up(p->w->columns, p->w->group) : 0;

    // Panels whose sums are kept while the blocks of inputs pass.
    const size_t together = p->kernels->panels[format][divided_up(p->tokens, p->tiles)];
    size_t kept = sums_count / (16 * tokens);
    if (tokens * p->columns * p->value_bytes <= chunk_bytes) { kept = together; }
    kept = at_least(kept / together, 1) * together;
    _Alignas(64) float sums[sums_count];

    for (size_t panel = panel0; panel < panel1; panel += kept) {
        const size_t panels = at_most(kept, panel1 - panel);
        memset(sums, 0, panels * tokens * 16 * sizeof(float));
        for (size_t column = 0; column < p->columns; column += block) {
            const size_t group = quantised(format) ? column / p->group : 0;
            for (size_t i = 0, step; i < panels; i += step) {
                step = panels - i >= together ? together : 1;
                for (size_t tile = tile0; tile < tile1; tile++) {
                    const size_t token = first_token(p, tile), height = first_token(p, tile + 1) - token;
                    const size_t at_once = p->kernels->panels[format][height];
                    cscx_tile t = {
                        .weights = (const uint8_t *)p->w->values + (panel + i) * panel_bytes + column * input_bytes,
                        .weights_stride = panel_bytes,
                        .x = p->values + (token * p->columns + column * height) * p->value_bytes,
                        .columns = at_most(block, p->columns - column),
                        .sums = sums + (i * tokens + token - first) * 16,
                        .sums_stride = tokens * 16,
                    };
                    if (quantised(format)) {
                        t.group = p->group;
                        t.groups_per_scale = p->w->group ? p->w->group / p->group : 1;
                        t.x_scales = p->scales + token * p->groups + group * height;
                        t.x_sums = p->sums + token * p->groups + group * height;
                        if (p->w->group) {
                            t.scales_stride = scale_groups * 16;
                            t.scales = (const uint16_t *)p->w->scales + (panel + i) * t.scales_stride
                                + column / p->w->group * 16;
                        }
                    }
                    if (tile1 - tile0 == 1) {
                        t.ahead = fetch_bytes;
                        t.ahead_step = 64;
                    } else {
                        // Each tile fetches its part of the next block, so that memory and arithmetic overlap.
                        const size_t tiles = tile1 - tile0, bytes = t.columns * input_bytes;
                        t.ahead = (kept == together ? bytes : together * panel_bytes) + (tile - tile0) * bytes / tiles;
                        t.ahead_step = 64 / tiles;
                    }
                    // A lower tile may take more panels at once than its neighbour.
                    const size_t width = step % at_once == 0 ? at_once : 1;
                    for (size_t done = 0; done < step; done += width) {
                        p->kernels->tile(format, &t, width, height);
                        t.weights += width * t.weights_stride;
                        t.sums += width * t.sums_stride;
                        if (t.scales) { t.scales += width * t.scales_stride; }
                    }
                }
            }
        }
        finish(p, sums, panel, panels, first, tokens);
    }
}

/// Multiplies as many tokens as `p` says, with memory for their activations in place.
static void run(product *p, cscx_runner threads) {
    if (p->tokens >= 16) {
        threads.run(threads.context, p->tiles, prepare, p);
    } else {
        for (size_t tile = 0; tile < p->tiles; tile++) { prepare(p, tile); }
    }
    p->chunks = divided_up(p->tokens, chunk_tokens);
    p->tiles_per_job = divided_up(p->tiles, p->chunks);
    p->chunks = divided_up(p->tiles, p->tiles_per_job);
    // Each job costs a hand-over, so jobs that only stream weights are few and long; others are several per
    // thread, since a thread may be held up.
    const size_t jobs_per_thread = threads.threads == 1 ? 1 : p->tiles == 1 ? 3 : 6;
    const size_t ranges = divided_up(threads.threads * jobs_per_thread, p->chunks);
    const size_t panel_bytes = p->columns * (64 >> p->w->format);
    size_t panels = divided_up(p->panels, ranges);
    panels = at_least(panels, divided_up(job_bytes, panel_bytes * p->tokens));
    const size_t together = p->kernels->panels[p->w->format][divided_up(p->tokens, p->tiles)];
    p->panels_per_job = divided_up(panels, together) * together;
    threads.run(threads.context, divided_up(p->panels, p->panels_per_job) * p->chunks, multiply, p);
}

bool cscx_linear(
    cscx_isa isa, const cscx_matrix *w, const float *x, const float *bias, float *y, size_t tokens,
    cscx_runner threads) {
    product p = {.kernels = kernels_of(isa), .w = w, .bias = bias};
    p.columns = cscx_padded_columns(w->format, w->columns);
    p.panels = divided_up(w->rows, 16);
    p.value_bytes = quantised(w->format) ? 1 : w->format == cscx_format_bf16 && p.kernels->rounds_to_bf16 ? 2 : 4;
    p.group = w->format == cscx_format_int4 ? 32 : w->group ? w->group : 128;
    p.groups = quantised(w->format) ? divided_up(w->columns, p.group) : 0;

    const size_t token_bytes = p.columns * p.value_bytes + p.groups * 8;
    const size_t height = p.kernels->heights[w->format];
    size_t batch = at_least(scratch_bytes / token_bytes / height * height, height);
    batch = divided_up(tokens, divided_up(tokens, batch));
    uint8_t *scratch;
    while (!(scratch = scratch_of(batch * token_bytes + 64))) {
        if (batch == 1) { return false; }
        batch /= 2;
    }
    for (size_t start = 0; start < tokens; start += batch) {
        p.tokens = at_most(batch, tokens - start);
        p.tiles = divided_up(p.tokens, height);
        p.x = x + start * w->columns;
        p.y = y + start * w->rows;
        p.scales = (float *)scratch;
        p.sums = (int32_t *)(p.scales + p.tokens * p.groups);
        p.values = scratch + (p.tokens * p.groups * 8 + 63) / 64 * 64;
        run(&p, threads);
    }
    return true;
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
    // A job is what one panel has of the rows, so that no two jobs write to the same 64 bytes.
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
