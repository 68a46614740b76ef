// The jobs of a call of attention and the joining of chunks; also the baseline instance of the tile (SSE2 on x86-64,
// Advanced SIMD on arm64).

#if defined(__aarch64__)
#define CSCX_ROWS 4  // 32 registers
#else
#define CSCX_ROWS 2
#endif
#define CSCX_LANES 4
#define CSCX_NAME(name) name##_baseline
#include "vector.h"
#include "attention_kernels.h"

static size_t tiles(const cscx_attention *call) {
    const size_t rows = call->tokens * (call->heads / call->kv_heads);
    return (rows + cscx_attention_rows - 1) / cscx_attention_rows;
}

// The chunks from *begin to before *end are those to which some query of the tokens `first` to `last` attends.
static void chunks_of(const cscx_attention *call, size_t first, size_t last, size_t *begin, size_t *end) {
    size_t from, to, unused;
    cscx_attention_visible(call, first, &from, &unused);
    cscx_attention_visible(call, last, &unused, &to);
    *begin = from / cscx_attention_chunk;
    *end = (to - 1) / cscx_attention_chunk + 1;
}

size_t cscx_attention_chunks(const cscx_attention *call) {
    size_t begin, end;
    chunks_of(call, 0, call->tokens - 1, &begin, &end);
    return end - begin;
}

size_t cscx_attention_jobs(const cscx_attention *call) {
    return tiles(call) * call->kv_heads * (call->split ? cscx_attention_chunks(call) : 1);
}

// Rows of the largest tile, rounded up to whole register tiles: 12 is a multiple of each CSCX_ROWS.
static size_t row_capacity(const cscx_attention *call) {
    const size_t rows = call->tokens * (call->heads / call->kv_heads);
    return rows < cscx_attention_rows ? (rows + 11) / 12 * 12 : cscx_attention_rows;
}

size_t cscx_attention_partials(const cscx_attention *call) {
    return cscx_attention_jobs(call) * row_capacity(call) * cscx_attention_width(cscx_padded_head(call->head_size));
}

size_t cscx_attention_scratch(cscx_isa isa, const cscx_attention *call) {
    const size_t padded = cscx_padded_head(call->head_size);
    const bool copies = call->format != cscx_kv_f32 && (isa == cscx_isa_generic || isa == cscx_isa_neon);
    // Queries, scores, denominators by lane, the results of one chunk and of all chunks; the baseline also copies a
    // page.
    const size_t q_floats = call->head_size * (call->exact_scores ? sizeof(double) / sizeof(float) : 1);
    return row_capacity(call) * (q_floats + cscx_page_tokens + 16 + 2 * cscx_attention_width(padded))
        + (copies ? cscx_page_tokens * (call->head_size + padded) : 0);
}

// Jobs are numbered by the chunks of a tile, then the key-value heads, then the tiles from the last on: in a causal
// call the last tiles attend to the most tokens, and long jobs should not come last.
cscx_attention_tile cscx_attention_tile_of(const cscx_attention *call, size_t job) {
    const size_t jobs = call->split ? cscx_attention_chunks(call) : 1;
    const size_t index = tiles(call) - 1 - job / jobs / call->kv_heads;
    const size_t group = call->heads / call->kv_heads;
    const size_t rows = call->tokens * group - index * cscx_attention_rows;
    cscx_attention_tile tile = {
        .kv_head = job / jobs % call->kv_heads,
        .group = group,
        .first_row = index * cscx_attention_rows,
        .rows = rows < cscx_attention_rows ? rows : cscx_attention_rows,
        .padded = cscx_padded_head(call->head_size),
    };
    const size_t last_row = tile.first_row + tile.rows - 1;
    chunks_of(call, tile.first_row / group, last_row / group, &tile.first_chunk, &tile.last_chunk);
    if (call->split) {
        size_t begin, end;
        chunks_of(call, 0, call->tokens - 1, &begin, &end);
        const size_t chunk = begin + job % jobs;
        tile.first_chunk = chunk > tile.first_chunk ? chunk : tile.first_chunk;
        tile.last_chunk = chunk + 1 < tile.last_chunk ? chunk + 1 : tile.last_chunk;
        tile.partial = call->partials + job * row_capacity(call) * cscx_attention_width(tile.padded);
    }
    return tile;
}

void cscx_attention_run(cscx_isa isa, const cscx_attention *call, size_t job, float *scratch) {
    const cscx_attention_tile tile = cscx_attention_tile_of(call, job);
    cscx_attention_function run = cscx_attention_tile_baseline;
#if defined(__x86_64__)
    if (isa == cscx_isa_avx2) { run = cscx_attention_tile_avx2; }
    if (isa >= cscx_isa_avx512) { run = cscx_attention_tile_avx512; }
#endif
    (void)isa;
    run(call, &tile, scratch);
}

void cscx_attention_fold(float *all, const float *part, size_t padded, bool first) {
    if (first) {
        memcpy(all, part, (padded + 2) * sizeof(float));
        return;
    }
    const float top = fmaxf(all[padded], part[padded]);
    const float old = exp2f(all[padded] - top), new = exp2f(part[padded] - top);
    for (size_t d = 0; d < padded; d++) { all[d] = all[d] * old + part[d] * new; }
    all[padded] = top;
    all[padded + 1] = all[padded + 1] * old + part[padded + 1] * new;
}

void cscx_attention_merge(const cscx_attention *call) {
    const size_t jobs = cscx_attention_chunks(call), capacity = row_capacity(call);
    size_t base, unused;
    chunks_of(call, 0, call->tokens - 1, &base, &unused);
    for (size_t job = 0; job < cscx_attention_jobs(call); job += jobs) {
        const cscx_attention_tile tile = cscx_attention_tile_of(call, job);
        const size_t width = cscx_attention_width(tile.padded);
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.first_row + r;
            size_t begin, end;
            chunks_of(call, row / tile.group, row / tile.group, &begin, &end);
            // The results of the other chunks are added to those of the first, in its place.
            float *const all = tile.partial + ((begin - base) * capacity + r) * width;
            for (size_t c = begin + 1; c < end; c++) {
                cscx_attention_fold(all, all + (c - begin) * capacity * width, tile.padded, false);
            }
            cscx_attention_finish(call, &tile, row, all);
        }
    }
}
