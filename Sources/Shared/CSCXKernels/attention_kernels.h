// One tile of attention with online softmax, for the vector width and the target of the including file.
//
// CSCX_ROWS is the height of the register tile: query rows times 16 tokens (or 16 channels) of sums stay in registers.
// attention_shared.h says which order of operations each path keeps.

#include <math.h>

#include "attention_shared.h"

enum { V = 16 / CSCX_LANES };  // vectors per 16 floats

// Keys or values of one key-value head in a page. `bf16` is a constant wherever elements are read.
typedef struct stored {
    const void *data;
    const void *ahead;  // the same in the next page
    bool bf16;
} stored;

INLINE size_t size_of(bool bf16) { return bf16 ? sizeof(uint16_t) : sizeof(float); }

// 16 adjacent elements as float32.
INLINE void load16(stored from, size_t index, vf out[V]) {
    for (int i = 0; i < V; i++) {
        out[i] = from.bf16 ? load_bf16((const uint16_t *)from.data + index + i * CSCX_LANES)
                           : load((const float *)from.data + index + i * CSCX_LANES);
    }
}

// Fetches into the second cache the part of the next page that lies where `count` elements from `index` on do.
//
// Without it a decode step waits for memory: no processor foresees the streams of several blocks.
INLINE void fetch(stored from, size_t index, size_t count) {
    const char *const start = (const char *)from.ahead + index * size_of(from.bf16);
    for (size_t i = 0; i < count * size_of(from.bf16); i += 64) { __builtin_prefetch(start + i, 0, 2); }
}

// Blocks of 16 tokens (or channels) that few rows take at a time: eight independent sums, or each would wait for
// itself.
INLINE int blocks_at_once(int rows) {
    const int blocks = 8 / (rows * V);
    return blocks > 4 ? 4 : blocks > 1 ? blocks : 1;
}

// scores[r][16·b + i] = Σ_d q[d][r] · keys[b][d][i] for b < blocks, i < 16; rows of `scores` are 64 apart, and the
// keys begin at element `start`.
//
// `rows` and `blocks` are constants at each call. Each sum is one chain over d, whatever they are.
INLINE void score_rows(const float *q, stored keys, size_t start, size_t head_size, float *scores, const int rows,
                       const int blocks) {
    vf sums[CSCX_ROWS][4 * V];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < blocks * V; i++) { sums[r][i] = 0; }
    }
    for (size_t d = 0; d < head_size; d++) {
        vf k[4 * V];
        fetch(keys, start + d * blocks * 16, blocks * 16);
        for (int b = 0; b < blocks; b++) { load16(keys, start + (b * head_size + d) * 16, k + b * V); }
        for (int r = 0; r < rows; r++) {
            const float x = q[d * CSCX_ROWS + r];
            for (int i = 0; i < blocks * V; i++) { sums[r][i] = x * k[i] + sums[r][i]; }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < blocks * V; i++) { store(scores + r * cscx_page_tokens + i * CSCX_LANES, sums[r][i]); }
    }
}

// The scores of the slots from `from` to before `to`, multiples of 16.
INLINE void score_slots(const float *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                        const int rows) {
    const int blocks = blocks_at_once(rows);
    size_t t = from;
    for (; t + 16 * blocks <= to; t += 16 * blocks) {
        score_rows(q, keys, t * head_size, head_size, scores + t, rows, blocks);
    }
    if (blocks == 1) { return; }
    for (; t < to; t += 16) { score_rows(q, keys, t * head_size, head_size, scores + t, rows, 1); }
}

// out[r][16·w + i] += Σ_t p[r][t] · values[w][t][i] for w < width, i < 16, over the slots t from `from` to before
// `to`; the values begin at element `start`.
//
// Rows of `p` are 64 apart, those of `out` `stride`, and the blocks of values 64 tokens of 16 channels. Each sum is
// one chain over t, whatever the constants `rows` and `width` are.
INLINE void mix_rows(const float *p, stored values, size_t start, size_t from, size_t to, float *out, size_t stride,
                     const int rows, const int width) {
    vf sums[CSCX_ROWS][4 * V];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width * V; i++) { sums[r][i] = load(out + r * stride + i * CSCX_LANES); }
    }
    for (size_t t = from; t < to; t++) {
        vf v[4 * V];
        fetch(values, start + t * width * 16, width * 16);
        for (int w = 0; w < width; w++) { load16(values, start + (cscx_page_tokens * w + t) * 16, v + w * V); }
        for (int r = 0; r < rows; r++) {
            const float x = p[r * cscx_page_tokens + t];
            for (int i = 0; i < width * V; i++) { sums[r][i] = x * v[i] + sums[r][i]; }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width * V; i++) { store(out + r * stride + i * CSCX_LANES, sums[r][i]); }
    }
}

INLINE void mix_channels(const float *p, stored values, size_t from, size_t to, float *out, size_t padded,
                         const int rows) {
    const int blocks = blocks_at_once(rows);
    const size_t stride = cscx_attention_width(padded);
    size_t c = 0;
    for (; c + 16 * blocks <= padded; c += 16 * blocks) {
        mix_rows(p, values, c * cscx_page_tokens, from, to, out + c, stride, rows, blocks);
    }
    if (blocks == 1) { return; }
    for (; c < padded; c += 16) { mix_rows(p, values, c * cscx_page_tokens, from, to, out + c, stride, rows, 1); }
}

// A register tile of `left` rows goes through the code for the next number of rows that there is code for.
INLINE void score_tile(const float *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                       size_t left) {
    if (left == 1) { return score_slots(q, keys, head_size, scores, from, to, 1); }
    if (left == 2) { return score_slots(q, keys, head_size, scores, from, to, 2); }
#if CSCX_ROWS > 4
    if (left <= 4) { return score_slots(q, keys, head_size, scores, from, to, 4); }
#endif
#if CSCX_ROWS > 8
    if (left <= 8) { return score_slots(q, keys, head_size, scores, from, to, 8); }
#endif
    score_slots(q, keys, head_size, scores, from, to, CSCX_ROWS);
}

INLINE void mix_tile(const float *p, stored values, size_t from, size_t to, float *out, size_t padded, size_t left) {
    if (left == 1) { return mix_channels(p, values, from, to, out, padded, 1); }
    if (left == 2) { return mix_channels(p, values, from, to, out, padded, 2); }
#if CSCX_ROWS > 4
    if (left <= 4) { return mix_channels(p, values, from, to, out, padded, 4); }
#endif
#if CSCX_ROWS > 8
    if (left <= 8) { return mix_channels(p, values, from, to, out, padded, 8); }
#endif
    mix_channels(p, values, from, to, out, padded, CSCX_ROWS);
}

static void score(const float *q, stored keys, size_t head_size, float *scores, size_t from, size_t to, size_t left) {
    const void *const data = keys.data, *const ahead = keys.ahead;
    if (keys.bf16) { score_tile(q, (stored){data, ahead, true}, head_size, scores, from, to, left); }
    else { score_tile(q, (stored){data, ahead, false}, head_size, scores, from, to, left); }
}

static void mix(const float *p, stored values, size_t from, size_t to, float *out, size_t padded, size_t left) {
    const void *const data = values.data, *const ahead = values.ahead;
    if (values.bf16) { mix_tile(p, (stored){data, ahead, true}, from, to, out, padded, left); }
    else { mix_tile(p, (stored){data, ahead, false}, from, to, out, padded, left); }
}

// The slots of a page that a row sees: from `first` to before `last`. Both rise from row to row.
typedef struct slots {
    size_t first, last;
} slots;

// Adds the values of a page to the sums of a register tile. The slots that all its rows see go through the tile, those
// before and after row by row.
static void mix_seen(const float *p, stored values, float *out, size_t padded, const slots *seen, size_t rows) {
    const size_t width = cscx_attention_width(padded);
    const size_t from = seen[rows - 1].first, to = seen[0].last;
    for (size_t r = 0; r < rows; r++) {
        const size_t last = seen[r].last < from ? seen[r].last : from;
        if (seen[r].first < last) {
            mix(p + r * cscx_page_tokens, values, seen[r].first, last, out + r * width, padded, 1);
        }
    }
    if (from < to) { mix(p, values, from, to, out, padded, rows); }
    for (size_t r = 0; r < rows; r++) {
        const size_t first = from < to ? to : from;
        if (first < seen[r].last) {
            mix(p + r * cscx_page_tokens, values, first, seen[r].last, out + r * width, padded, 1);
        }
    }
}

// As max_of, without its care for NaN, which would take longer than the weights of a page.
INLINE float top_of(vf v) {
    float lanes[CSCX_LANES];
    store(lanes, v);
    for (size_t width = CSCX_LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) { lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width]; }
    }
    return lanes[0];
}

// Turns the scores of the slots that a row sees into weights 2^(score - maximum), and brings the row's sums, maximum
// and denominator (in lanes) to the new maximum.
INLINE void weigh_row(float *scores, slots seen, float *sums, size_t padded, float *denominator) {
    const size_t from = seen.first / 16 * 16, to = (seen.last + 15) / 16 * 16;
    for (size_t i = from; i < seen.first; i++) { scores[i] = -INFINITY; }
    for (size_t i = seen.last; i < to; i++) { scores[i] = -INFINITY; }
    vf best = -INFINITY;
    for (size_t i = from; i < to; i += CSCX_LANES) { best = larger(best, load(scores + i)); }
    const float top = top_of(best);
    float *const maximum = sums + padded;
    vf total = load(denominator);
    if (top > *maximum) {
        const float shrink = exp2f(*maximum - top);
        *maximum = top;
        total *= shrink;
        for (size_t d = 0; d < padded; d += CSCX_LANES) { store(sums + d, load(sums + d) * shrink); }
    }
    for (size_t i = from; i < to; i += CSCX_LANES) {
        const vf weight = exp2_of(load(scores + i) - *maximum);
        total += weight;  // the lanes of other slots add 2e-38 to a sum of at least 1
        store(scores + i, weight);
    }
    store(denominator, total);
}

// Copies the elements from `first` to before `last`, multiples of 16, as float32.
static void widen(stored from, float *to, size_t first, size_t last) {
    for (size_t i = first; i < last; i += 16) {
        vf v[V];
        fetch(from, i, 16);
        load16((stored){from.data, from.ahead, true}, i, v);
        for (int j = 0; j < V; j++) { store(to + i + j * CSCX_LANES, v[j]); }
    }
}

// The working memory of a job, in `scratch`.
typedef struct working {
    float *q;             // [register tile][head_size][CSCX_ROWS]
    float *scores;        // [row][64]
    float *sums;          // [row][width]: the results of a chunk
    float *all;           // [row][width]: those of the chunks so far
    float *denominators;  // [row][CSCX_LANES]
    float *keys;          // a page's elements as float32
    float *values;
} working;

// Adds a page to the results of its chunk.
static void add_page(const cscx_attention *call, const cscx_attention_tile *tile, const working *w, size_t page) {
    const size_t head_size = call->head_size, padded = tile->padded, rows = tile->rows;
    const size_t base = page * cscx_page_tokens;
    slots seen[cscx_attention_rows];
    for (size_t r = 0; r < rows; r++) {
        if (r > 0 && (tile->first_row + r) % tile->group > 0) {  // another head of the token before
            seen[r] = seen[r - 1];
            continue;
        }
        size_t first, last;
        cscx_attention_visible(call, (tile->first_row + r) / tile->group, &first, &last);
        first = first > base ? first - base : 0;
        last = last > base ? last - base : 0;
        seen[r].first = first < cscx_page_tokens ? first : cscx_page_tokens;
        seen[r].last = last < cscx_page_tokens ? last : cscx_page_tokens;
    }
    const size_t begin = seen[0].first, end = seen[rows - 1].last;
    const size_t next_page = base + cscx_page_tokens < call->count ? page + 1 : page;
    const size_t start = tile->kv_head * cscx_page_head_elements(head_size) * size_of(call->bf16);
    const size_t values_start = start + cscx_page_tokens * head_size * size_of(call->bf16);
    const char *const this = call->pages[page], *const later = call->pages[next_page];
    stored keys = {this + start, later + start, call->bf16};
    stored values = {this + values_start, later + values_start, call->bf16};
    if (call->bf16 && rows > 8) {  // else each element is used too few times to pay for a copy
        const size_t from = begin / 16 * 16, to = (end + 15) / 16 * 16;
        widen(keys, w->keys, from * head_size, to * head_size);
        for (size_t c = 0; c < padded; c += 16) {
            widen(values, w->values, c * cscx_page_tokens + begin * 16, c * cscx_page_tokens + end * 16);
        }
        keys = (stored){w->keys, w->keys, false};
        values = (stored){w->values, w->values, false};
    }
    for (size_t t = begin / 16 * 16, next; t < end; t = next) {
        // Many rows go through 16 tokens at a time, whose keys then stay in the first cache.
        next = rows > CSCX_ROWS ? t + 16 : (end + 15) / 16 * 16;
        for (size_t r = 0; r < rows; r += CSCX_ROWS) {
            const size_t left = rows - r < CSCX_ROWS ? rows - r : CSCX_ROWS;
            if (seen[r].first >= next || seen[r + left - 1].last <= t) { continue; }
            score(w->q + r * head_size, keys, head_size, w->scores + r * cscx_page_tokens, t, next, left);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        if (seen[r].first >= seen[r].last) { continue; }
        weigh_row(w->scores + r * cscx_page_tokens, seen[r], w->sums + r * cscx_attention_width(padded), padded,
                  w->denominators + r * CSCX_LANES);
    }
    for (size_t r = 0; r < rows; r += CSCX_ROWS) {
        const size_t left = rows - r < CSCX_ROWS ? rows - r : CSCX_ROWS;
        mix_seen(w->scores + r * cscx_page_tokens, values, w->sums + r * cscx_attention_width(padded), padded,
                 seen + r, left);
    }
}

void CSCX_NAME(cscx_attention_tile)(const cscx_attention *call, const cscx_attention_tile *tile, float *scratch) {
    const size_t head_size = call->head_size, padded = tile->padded, rows = tile->rows;
    const size_t width = cscx_attention_width(padded);
    const size_t capacity = (rows + CSCX_ROWS - 1) / CSCX_ROWS * CSCX_ROWS;
    working w = {.q = scratch};
    w.scores = w.q + capacity * head_size;
    w.sums = w.scores + capacity * cscx_page_tokens;
    w.all = w.sums + capacity * width;
    w.denominators = w.all + capacity * width;
    w.keys = w.denominators + capacity * CSCX_LANES;
    w.values = w.keys + cscx_page_tokens * head_size;

    // The rows that fill up the last register tile have queries of 0.
    memset(w.q, 0, capacity * (head_size + cscx_page_tokens) * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        const size_t row = tile->first_row + r;
        const float *const from = call->q + row / tile->group * call->q_stride
            + (tile->kv_head * tile->group + row % tile->group) * head_size;
        float *const to = w.q + r / CSCX_ROWS * CSCX_ROWS * head_size + r % CSCX_ROWS;
        // Scores in units of ln 2, since 2^x is cheaper than e^x.
        const float scale = call->scale * 1.44269504f;
#pragma clang loop vectorize(disable)
        for (size_t d = 0; d < head_size; d++) { to[d * CSCX_ROWS] = from[d] * scale; }
    }

    const size_t pages_per_chunk = cscx_attention_chunk / cscx_page_tokens;
    for (size_t chunk = tile->first_chunk; chunk < tile->last_chunk; chunk++) {
        memset(w.sums, 0, capacity * width * sizeof(float));
        memset(w.denominators, 0, capacity * CSCX_LANES * sizeof(float));
        for (size_t r = 0; r < rows; r++) { w.sums[r * width + padded] = -INFINITY; }
        size_t begin, end, unused;
        cscx_attention_visible(call, tile->first_row / tile->group, &begin, &unused);
        cscx_attention_visible(call, (tile->first_row + rows - 1) / tile->group, &unused, &end);
        for (size_t page = chunk * pages_per_chunk; page < (chunk + 1) * pages_per_chunk; page++) {
            if ((page + 1) * cscx_page_tokens <= begin || page * cscx_page_tokens >= end) { continue; }
            add_page(call, tile, &w, page);
        }
        for (size_t r = 0; r < rows; r++) {
            cscx_attention_visible(call, (tile->first_row + r) / tile->group, &begin, &end);
            const size_t first = begin / cscx_attention_chunk;
            if (chunk < first || chunk * cscx_attention_chunk >= end) { continue; }
            const bool last = (chunk + 1) * cscx_attention_chunk >= end;
            float *const sums = w.sums + r * width;
            sums[padded + 1] = sum_of(load(w.denominators + r * CSCX_LANES));
            float *all = sums;
            if (tile->partial || chunk > first || !last) {
                all = (tile->partial ? tile->partial : w.all) + r * width;
                cscx_attention_fold(all, sums, padded, tile->partial || chunk == first);
            }
            if (last && !tile->partial) { cscx_attention_finish(call, tile, tile->first_row + r, all); }
        }
    }
}
