// Computes one tile of attention with online softmax, for the vector width and the target of the including file.
//
// attention_shared.h says which order of operations every path must keep.

#include <float.h>
#include <math.h>

#include "attention_shared.h"
#include "attention_tiles.h"
#include "attention_exact.h"

// Scores are in units of ln 2, since 2^x is cheaper than e^x.
static const float score_unit = 1.44269504f;

// The slots of a page to which a row attends: from `first` to before `last`. Both rise from row to row.
typedef struct slots {
    size_t first, last;
} slots;

// Adds the values of a page to the sums of a register tile. The slots to which all its rows attend are computed as a
// tile, those before and after them row by row.
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

// As max_of, but without the handling of NaN, which would take longer than computing the weights of a page.
INLINE float top_of(vf v) {
    float lanes[CSCX_LANES];
    store(lanes, v);
    for (size_t width = CSCX_LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) { lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width]; }
    }
    return lanes[0];
}

// A weight times a scale; 0 where the product would be subnormal, since some processors take a hundred times as long
// to multiply by subnormal numbers.
INLINE vf scaled(vf weight, vf scale) {
    const vf product = weight * scale, none = 0.0f;
    return product < FLT_MIN ? none : product;
}

// The scales of a page's keys and values, one for each token; NULL where there are none.
typedef struct scales {
    const float *keys, *values;
} scales;

// cap · tanh(x / cap).
INLINE vf capped(vf x, float cap) { return cap - 2.0f * cap / (1.0f + exp_of(2.0f / cap * x)); }

// Turns the scores of the slots to which a row attends into weights 2^(score - maximum), and scales the row's sums
// and denominator (in lanes) to the new maximum. The scores are those of keys without their scales; the resulting
// weights are to be multiplied with values without their scales.
//
// `cap` is in the units of the scores; 0 for none.
INLINE void weigh_row(float *scores, scales by, float cap, slots seen, float *sums, size_t padded,
                      float *denominator) {
    const size_t from = seen.first / 16 * 16, to = (seen.last + 15) / 16 * 16;
    if (by.keys) {
        for (size_t i = from; i < to; i += CSCX_LANES) { store(scores + i, load(scores + i) * load(by.keys + i)); }
    }
    if (cap > 0) {
        for (size_t i = from; i < to; i += CSCX_LANES) { store(scores + i, capped(load(scores + i), cap)); }
    }
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
        store(scores + i, by.values ? scaled(weight, load(by.values + i)) : weight);
    }
    store(denominator, total);
}

// The working memory of a job, in `scratch`.
typedef struct working {
    float *q;             // [register tile][head_size][CSCX_ROWS]; in float64 and not scaled for exact scores
    float *scores;        // [row][64]
    float *sums;          // [row][width]: the results of a chunk
    float *all;           // [row][width]: those of the chunks so far
    float *denominators;  // [row][CSCX_LANES]
    float *keys;          // a page's elements as float32
    float *values;
} working;

// Whether a page's elements are first copied as float32, because otherwise several register tiles would each convert
// them.
//
// Only with vectors of 4: AVX2 and AVX-512 convert while they read in less time than the copies take, however many
// rows there are.
static bool widens(const cscx_attention *call, const cscx_attention_tile *tile) {
    return CSCX_LANES == 4 && call->format != cscx_kv_f32 && tile->rows > CSCX_ROWS;
}

// Adds the tokens of a page to the results of its chunk.
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
    const cscx_page_parts parts = cscx_page_parts_of(call->format, head_size, tile->kv_head);
    const char *const this = call->pages[page], *const later = call->pages[next_page];
    stored keys = {this + parts.keys, later + parts.keys, call->format};
    stored values = {this + parts.values, later + parts.values, call->format};
    scales by = {NULL, NULL};
    if (call->format == cscx_kv_int8) {
        by = (scales){(const float *)(this + parts.key_scales), (const float *)(this + parts.value_scales)};
        for (size_t i = 0; i < 2 * cscx_page_tokens * sizeof(float); i += 64) {
            __builtin_prefetch(later + parts.key_scales + i, 0, 2);
        }
    }
    if (widens(call, tile)) {
        const size_t from = begin / 16 * 16, to = (end + 15) / 16 * 16;
        widen(keys, w->keys, from * head_size, to * head_size);
        for (size_t c = 0; c < padded; c += 16) {
            widen(values, w->values, c * cscx_page_tokens + begin * 16, c * cscx_page_tokens + end * 16);
        }
        keys = (stored){w->keys, w->keys, cscx_kv_f32};
        values = (stored){w->values, w->values, cscx_kv_f32};
    }
    for (size_t t = begin / 16 * 16, next; t < end; t = next) {
        // Many rows are computed 16 tokens at a time, so that the keys of these stay in the first-level cache.
        next = rows > CSCX_ROWS ? t + 16 : (end + 15) / 16 * 16;
        for (size_t r = 0; r < rows; r += CSCX_ROWS) {
            const size_t left = rows - r < CSCX_ROWS ? rows - r : CSCX_ROWS;
            if (seen[r].first >= next || seen[r + left - 1].last <= t) { continue; }
            float *const scores = w->scores + r * cscx_page_tokens;
            if (call->exact_scores) {
                exact_score((const double *)w->q + r * head_size, keys, head_size, scores, t, next,
                            call->scale * (double)score_unit, left);
            } else {
                score(w->q + r * head_size, keys, head_size, scores, t, next, left);
            }
        }
    }
    for (size_t r = 0; r < rows; r++) {
        if (seen[r].first >= seen[r].last) { continue; }
        weigh_row(w->scores + r * cscx_page_tokens, by, call->cap * score_unit, seen[r],
                  w->sums + r * cscx_attention_width(padded), padded, w->denominators + r * CSCX_LANES);
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
    const size_t q_floats = head_size * (call->exact_scores ? sizeof(double) / sizeof(float) : 1);
    w.scores = w.q + capacity * q_floats;
    w.sums = w.scores + capacity * cscx_page_tokens;
    w.all = w.sums + capacity * width;
    w.denominators = w.all + capacity * width;
    w.keys = w.denominators + capacity * CSCX_LANES;
    w.values = w.keys + cscx_page_tokens * head_size;

    // The rows that fill up the last register tile have queries of 0.
    memset(w.q, 0, capacity * (q_floats + cscx_page_tokens) * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        const size_t row = tile->first_row + r;
        const float *const from = call->q + row / tile->group * call->q_stride
            + (tile->kv_head * tile->group + row % tile->group) * head_size;
        const size_t place = r / CSCX_ROWS * CSCX_ROWS * head_size + r % CSCX_ROWS;
        if (call->exact_scores) {
            for (size_t d = 0; d < head_size; d++) { ((double *)w.q + place)[d * CSCX_ROWS] = from[d]; }
            continue;
        }
        float *const to = w.q + place;
        const float scale = call->scale * score_unit;
#pragma clang loop vectorize(disable)
        for (size_t d = 0; d < head_size; d++) { to[d * CSCX_ROWS] = from[d] * scale; }
    }

    const size_t filled = rows > 2 ? capacity : rows;  // one row and two have code of their own
    const size_t pages_per_chunk = cscx_attention_chunk / cscx_page_tokens;
    for (size_t chunk = tile->first_chunk; chunk < tile->last_chunk; chunk++) {
        memset(w.sums, 0, filled * width * sizeof(float));
        memset(w.denominators, 0, filled * CSCX_LANES * sizeof(float));
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
    }    if (call->wipe) {
        const float *const end = widens(call, tile) ? w.values + cscx_page_tokens * padded : w.keys;
        cscx_wipe(scratch, (size_t)(end - scratch) * sizeof(float));
    }
}
