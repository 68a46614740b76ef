// How products are divided into blocks, which is the same for every arithmetic.
#include "linear_blocks.h"

#include <pthread.h>
#include <stdlib.h>

// Sizes of the blocks. A panel's block stays in the first-level cache while the tiles of a chunk are multiplied by
// it, and a chunk's block stays in the second-level cache while it is multiplied by the panels.
enum {
    chunk_tokens = 120,
    chunk_bytes = 256 << 10,   // a chunk of this size stays in the second cache with all its inputs
    sums_count = 16 << 10,     // accumulators of a chunk, on the stack
    scratch_bytes = 16 << 20,  // packed activations at a time
    job_bytes = 128 << 10,     // weights worth the hand-over of a job
};

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

static void prepare(void *context, size_t tile) {
    const cscx_product *const p = context;
    p->prepare(p, tile);
}

/// Multiplies a chunk of tokens by a range of panels.
static void multiply(void *context, size_t job) {
    const cscx_product *const p = context;
    const cscx_format format = p->w->format;
    const size_t chunk = job % p->chunks, range = job / p->chunks;
    const size_t tile0 = chunk * p->tiles_per_job, tile1 = at_most(tile0 + p->tiles_per_job, p->tiles);
    const size_t panel0 = range * p->panels_per_job, panel1 = at_most(panel0 + p->panels_per_job, p->panels);
    const size_t first = first_token(p, tile0), tokens = first_token(p, tile1) - first;

    const size_t input_bytes = 64 >> format, panel_bytes = p->columns * input_bytes;
    const size_t block = tile1 - tile0 == 1 ? p->columns : p->block;
    const size_t scale_groups = p->w->group ? divided_up(p->w->columns, p->w->group) : 0;

    // How many panels have their sums kept while all blocks of inputs are multiplied.
    const size_t together = p->together[divided_up(p->tokens, p->tiles)];
    size_t kept = sums_count / (16 * tokens);
    if (tokens * p->columns * p->value_bytes <= chunk_bytes) { kept = together; }
    kept = at_least(kept / together, 1) * together;
    _Alignas(64) union { float real[sums_count]; uint32_t ring[sums_count]; } sums;

    for (size_t panel = panel0; panel < panel1; panel += kept) {
        const size_t panels = at_most(kept, panel1 - panel);
        memset(&sums, 0, panels * tokens * 16 * sizeof(float));
        for (size_t column = 0; column < p->columns; column += block) {
            const size_t group = p->groups ? column / p->group : 0;
            for (size_t i = 0, step; i < panels; i += step) {
                step = panels - i >= together ? together : 1;
                for (size_t tile = tile0; tile < tile1; tile++) {
                    const size_t token = first_token(p, tile), height = first_token(p, tile + 1) - token;
                    const size_t at_once = p->together[height];
                    cscx_tile t = {
                        .weights = (const uint8_t *)p->w->values + (panel + i) * panel_bytes + column * input_bytes,
                        .weights_stride = panel_bytes,
                        .x = p->values + (token * p->columns + column * height) * p->value_bytes,
                        .columns = at_most(block, p->columns - column),
                        .sums = sums.real + (i * tokens + token - first) * 16,
                        .sums_stride = tokens * 16,
                    };
                    if (p->groups) {
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
                        t.ahead = p->fetch;
                        t.ahead_step = 64;
                    } else {
                        // Each tile prefetches its part of the next block, so that memory and arithmetic overlap.
                        const size_t tiles = tile1 - tile0, bytes = t.columns * input_bytes;
                        t.ahead = (kept == together ? bytes : together * panel_bytes) + (tile - tile0) * bytes / tiles;
                        t.ahead_step = 64 / tiles;
                    }
                    // A tile of fewer tokens may compute more panels at once than its neighbour.
                    const size_t width = step % at_once == 0 ? at_once : 1;
                    for (size_t done = 0; done < step; done += width) {
                        p->tile(format, &t, width, height);
                        t.weights += width * t.weights_stride;
                        t.sums += width * t.sums_stride;
                        if (t.scales) { t.scales += width * t.scales_stride; }
                    }
                }
            }
        }
        p->finish(p, &sums, panel, panels, first, tokens);
    }
}

/// Multiplies as many tokens as `p` says; there is memory for their activations.
static void run(cscx_product *p, cscx_runner threads) {
    if (p->tokens >= 16) {
        threads.run(threads.context, p->tiles, prepare, p);
    } else {
        for (size_t tile = 0; tile < p->tiles; tile++) { p->prepare(p, tile); }
    }
    p->chunks = divided_up(p->tokens, chunk_tokens);
    p->tiles_per_job = divided_up(p->tiles, p->chunks);
    p->chunks = divided_up(p->tiles, p->tiles_per_job);
    // Starting a job on another thread costs time, so jobs that only read weights are few and long. Other jobs are
    // several per thread, since a thread may be delayed.
    const size_t jobs_per_thread = threads.threads == 1 ? 1 : p->tiles == 1 ? 3 : 6;
    const size_t ranges = divided_up(threads.threads * jobs_per_thread, p->chunks);
    const size_t panel_bytes = p->columns * (64 >> p->w->format);
    size_t panels = divided_up(p->panels, ranges);
    panels = at_least(panels, divided_up(job_bytes, panel_bytes * p->tokens));
    const size_t together = p->together[divided_up(p->tokens, p->tiles)];
    p->panels_per_job = divided_up(panels, together) * together;
    threads.run(threads.context, divided_up(p->panels, p->panels_per_job) * p->chunks, multiply, p);
}

bool cscx_multiply_blocks(cscx_product *p, size_t tokens, cscx_runner threads) {
    p->columns = cscx_padded_columns(p->w->format, p->w->columns);
    p->panels = divided_up(p->w->rows, 16);
    const size_t token_bytes = p->columns * p->value_bytes + p->groups * 8;
    size_t batch = at_least(scratch_bytes / token_bytes / p->height * p->height, p->height);
    batch = divided_up(tokens, divided_up(tokens, batch));
    uint8_t *scratch;
    while (!(scratch = scratch_of(batch * token_bytes + 64))) {
        if (batch == 1) { return false; }
        batch /= 2;
    }
    const uint8_t *const x = p->x;
    uint8_t *const y = p->y;
    for (size_t start = 0; start < tokens; start += batch) {
        p->tokens = at_most(batch, tokens - start);
        p->tiles = divided_up(p->tokens, p->height);
        p->x = x + start * p->w->columns * sizeof(float);
        p->y = y + start * p->w->rows * sizeof(float);
        p->scales = (float *)scratch;
        p->sums = (int32_t *)(p->scales + p->tokens * p->groups);
        p->values = scratch + (p->tokens * p->groups * 8 + 63) / 64 * 64;
        run(p, threads);
    }
    return true;
}
