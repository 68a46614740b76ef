// One tile of attention with online softmax, for the vector width and the target of the including file.
//
// CSCX_ROWS is the height of the register tile: query rows times 16 tokens (or 16 channels) of sums stay in registers.

#include <math.h>

#include "attention_shared.h"

enum { V = 16 / CSCX_LANES };  // vectors per 16 floats

// 16 adjacent elements of the cache as float32.
INLINE void load16(const void *base, size_t index, bool bf16, vf out[V]) {
    for (int i = 0; i < V; i++) {
        out[i] = bf16 ? load_bf16((const uint16_t *)base + index + i * CSCX_LANES)
                      : load((const float *)base + index + i * CSCX_LANES);
    }
}

// scores[r][0 ..< 16] = Σ_d q[d][r] · keys[d][0 ..< 16], rows of `scores` 64 apart.
//
// `rows` and `chains` are constants at each call. One row alone would wait for each of its sums; `chains` sums over
// every second (fourth) channel hide that.
INLINE void score_rows(const float *q, const void *keys, bool bf16, size_t head_size, float *scores, const int rows,
                       const int chains) {
    vf sums[4][CSCX_ROWS][V];
    for (int c = 0; c < chains; c++) {
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < V; i++) { sums[c][r][i] = 0; }
        }
    }
    size_t d = 0;
    for (; d + chains <= head_size; d += chains) {
        for (int c = 0; c < chains; c++) {
            vf k[V];
            load16(keys, (d + c) * 16, bf16, k);
            for (int r = 0; r < rows; r++) {
                const float x = q[(d + c) * CSCX_ROWS + r];
                for (int i = 0; i < V; i++) { sums[c][r][i] = x * k[i] + sums[c][r][i]; }
            }
        }
    }
    for (; d < head_size; d++) {
        vf k[V];
        load16(keys, d * 16, bf16, k);
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < V; i++) { sums[0][r][i] = q[d * CSCX_ROWS + r] * k[i] + sums[0][r][i]; }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < V; i++) {
            vf sum = sums[0][r][i];
            for (int c = 1; c < chains; c++) { sum += sums[c][r][i]; }
            store(scores + r * cscx_page_tokens + i * CSCX_LANES, sum);
        }
    }
}

// out[r][16·w + i] += Σ_t p[r][t] · values[w][t][i] for w < width, i < 16; `values` begin at element `start`.
//
// Rows of `p` are 64 apart, those of `out` `padded`, and the blocks of `values` 64 tokens of 16 channels.
INLINE void mix_rows(const float *p, const void *values, size_t start, bool bf16, size_t tokens, size_t padded,
                     float *out, const int rows, const int width) {
    vf sums[CSCX_ROWS][4 * V];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width * V; i++) { sums[r][i] = load(out + r * padded + i * CSCX_LANES); }
    }
    for (size_t t = 0; t < tokens; t++) {
        vf v[4 * V];
        for (int w = 0; w < width; w++) { load16(values, start + (cscx_page_tokens * w + t) * 16, bf16, v + w * V); }
        for (int r = 0; r < rows; r++) {
            const float x = p[r * cscx_page_tokens + t];
            for (int i = 0; i < width * V; i++) { sums[r][i] = x * v[i] + sums[r][i]; }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width * V; i++) { store(out + r * padded + i * CSCX_LANES, sums[r][i]); }
    }
}

// The rows of one register tile that `left` rows need: the next size that there is code for.
INLINE int rows_of_code(size_t left) {
    return left >= CSCX_ROWS || left > 4 ? CSCX_ROWS : left > 2 ? 4 : (int)left;
}

INLINE void score_tile(const float *q, const void *keys, bool bf16, size_t head_size, float *scores, size_t left) {
    switch (rows_of_code(left)) {
    case 1: return score_rows(q, keys, bf16, head_size, scores, 1, V < 4 ? 4 : 2);
    case 2: return score_rows(q, keys, bf16, head_size, scores, 2, V < 4 ? 2 : 1);
#if CSCX_ROWS > 4
    case 4: return score_rows(q, keys, bf16, head_size, scores, 4, V == 1 ? 2 : 1);
#endif
    default: return score_rows(q, keys, bf16, head_size, scores, CSCX_ROWS, 1);
    }
}

INLINE void mix_tile(const float *p, const void *values, size_t start, bool bf16, size_t tokens, size_t padded,
                     float *out, size_t left) {
    size_t c = 0;
    const int rows = rows_of_code(left);
    // Few rows take more channels at a time, which makes as many independent sums.
    if (rows == 1) {
        const int width = V < 4 ? 4 : 2;
        for (; c + 16 * width <= padded; c += 16 * width) {
            mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, 1, width);
        }
    } else if (rows == 2 && V < 4) {
        for (; c + 32 <= padded; c += 32) {
            mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, 2, 2);
        }
    }
    for (; c < padded; c += 16) {
        switch (rows) {
        case 1: mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, 1, 1); break;
        case 2: mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, 2, 1); break;
#if CSCX_ROWS > 4
        case 4: mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, 4, 1); break;
#endif
        default: mix_rows(p, values, start + c * cscx_page_tokens, bf16, tokens, padded, out + c, CSCX_ROWS, 1);
        }
    }
}

// Turns the scores of slots `from` ..< `to` (multiples of 16) into weights 2^(score - maximum), 0 outside
// `begin` ..< `end`, and brings the row's sums and denominator to the new maximum.
INLINE void weigh_row(float *scores, size_t from, size_t to, size_t begin, size_t end, float *maximum,
                      float *denominator, float *sums, size_t padded) {
    if (begin >= end) {
        memset(scores + from, 0, (to - from) * sizeof(float));
        return;
    }
    for (size_t i = from; i < begin; i++) { scores[i] = -INFINITY; }
    for (size_t i = end; i < to; i++) { scores[i] = -INFINITY; }
    vf best = -INFINITY;
    for (size_t i = from; i < to; i += CSCX_LANES) { best = larger(best, load(scores + i)); }
    const float top = max_of(best);
    vf total = load(denominator);
    if (top > *maximum) {
        const float shrink = exp2f(*maximum - top);
        *maximum = top;
        total *= shrink;
        for (size_t d = 0; d < padded; d += CSCX_LANES) { store(sums + d, load(sums + d) * shrink); }
    }
    for (size_t i = from; i < to; i += CSCX_LANES) {
        const vf weight = exp2_of(load(scores + i) - *maximum);
        total += weight;  // masked lanes add 2e-38 to a sum of at least 1
        store(scores + i, weight);
    }
    store(denominator, total);
    for (size_t i = from; i < begin; i++) { scores[i] = 0; }
    for (size_t i = end; i < to; i++) { scores[i] = 0; }
}

static void widen(const uint16_t *from, float *to, size_t count) {  // a multiple of 16
    for (size_t i = 0; i < count; i += CSCX_LANES) { store(to + i, load_bf16(from + i)); }
}

void CSCX_NAME(cscx_attention_tile)(const cscx_attention *call, const cscx_attention_tile *tile, float *scratch) {
    const size_t head_size = call->head_size, padded = tile->padded, rows = tile->rows;
    const size_t capacity = (rows + CSCX_ROWS - 1) / CSCX_ROWS * CSCX_ROWS;
    float *const q = scratch;  // [register tile][head_size][CSCX_ROWS]
    float *const scores = q + capacity * head_size;
    float *const sums = scores + capacity * cscx_page_tokens;
    float *const denominators = sums + capacity * padded;  // [row][lane]
    float *const maxima = denominators + capacity * CSCX_LANES;
    float *const wide_keys = maxima + cscx_attention_rows;  // keeps the alignment
    float *const wide_values = wide_keys + cscx_page_tokens * head_size;

    memset(q, 0, capacity * (head_size + cscx_page_tokens + padded + CSCX_LANES) * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        const size_t row = tile->first_row + r;
        const float *const from = call->q + row / tile->group * call->q_stride
            + (tile->kv_head * tile->group + row % tile->group) * head_size;
        float *const to = q + r / CSCX_ROWS * CSCX_ROWS * head_size + r % CSCX_ROWS;
        // Scores in units of ln 2, since 2^x is cheaper than e^x.
        const float scale = call->scale * 1.44269504f;
        for (size_t d = 0; d < head_size; d++) { to[d * CSCX_ROWS] = from[d] * scale; }
        maxima[r] = -INFINITY;
    }

    const size_t elements = cscx_page_head_elements(head_size);
    const bool widens = call->bf16 && rows > 8;  // else each element is used too few times to pay for a copy
    const bool bf16 = call->bf16 && !widens;
    for (size_t page = tile->begin / cscx_page_tokens; page * cscx_page_tokens < tile->end; page++) {
        const size_t base = page * cscx_page_tokens;
        const size_t begin = tile->begin > base ? tile->begin - base : 0;
        const size_t end = tile->end - base < cscx_page_tokens ? tile->end - base : cscx_page_tokens;
        if (begin >= end) { break; }
        const size_t from = begin / 16 * 16, to = (end + 15) / 16 * 16;
        const size_t element = call->bf16 ? sizeof(uint16_t) : sizeof(float);
        const void *keys = (const char *)call->pages[page] + tile->kv_head * elements * element;
        const void *values = (const char *)keys + cscx_page_tokens * head_size * element;
        if (widens) {
            widen((const uint16_t *)keys + from * head_size, wide_keys + from * head_size, (to - from) * head_size);
            for (size_t c = 0; c < padded; c += 16) {
                const size_t start = c * cscx_page_tokens + begin * 16;
                widen((const uint16_t *)values + start, wide_values + start, (end - begin) * 16);
            }
            keys = wide_keys;
            values = wide_values;
        }
        for (size_t t = from; t < to; t += 16) {
            const void *const block = (const char *)keys + t * head_size * (bf16 ? sizeof(uint16_t) : sizeof(float));
            for (size_t r = 0; r < rows; r += CSCX_ROWS) {
                float *const s = scores + r * cscx_page_tokens + t;
                if (bf16) { score_tile(q + r * head_size, block, true, head_size, s, rows - r); }
                else { score_tile(q + r * head_size, block, false, head_size, s, rows - r); }
            }
        }
        for (size_t r = 0; r < rows; r++) {
            size_t first, last;
            cscx_attention_visible(call, (tile->first_row + r) / tile->group, &first, &last);
            first = first > base + begin ? first - base : begin;
            last = last < base + end ? (last > base ? last - base : 0) : end;
            weigh_row(scores + r * cscx_page_tokens, from, to, first, last, maxima + r,
                      denominators + r * CSCX_LANES, sums + r * padded, padded);
        }
        for (size_t r = 0; r < rows; r += CSCX_ROWS) {
            const float *const p = scores + r * cscx_page_tokens + begin;
            float *const out = sums + r * padded;
            if (bf16) { mix_tile(p, values, begin * 16, true, end - begin, padded, out, rows - r); }
            else { mix_tile(p, values, begin * 16, false, end - begin, padded, out, rows - r); }
        }
    }

    for (size_t r = 0; r < rows; r++) {
        const size_t row = tile->first_row + r;
        const float denominator = sum_of(load(denominators + r * CSCX_LANES));
        if (tile->partial) {
            float *const partial = tile->partial + r * (padded + 2);
            memcpy(partial, sums + r * padded, padded * sizeof(float));
            partial[padded] = maxima[r];
            partial[padded + 1] = denominator;
            continue;
        }
        float *const out = call->out + row / tile->group * call->out_stride
            + (tile->kv_head * tile->group + row % tile->group) * head_size;
        for (size_t d = 0; d < head_size; d++) { out[d] = sums[r * padded + d] / denominator; }
    }
}
