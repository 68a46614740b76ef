// The products of attention, for the vector width and the target of the including file: scores of queries and keys, and
// sums of weighted values.
//
// CSCX_ROWS is the height of the register tile: query rows times 16 tokens (or 16 channels) of sums stay in registers.

#include "attention_load.h"
#include "attention_shared.h"

// How many blocks of 16 tokens (or channels) a few rows compute at a time, at most `most`: enough for eight independent
// sums, because otherwise each instruction would wait for the one before. AVX-512 has registers for sixteen sums, with
// which queries and weights are read less often.
INLINE int blocks_at_once(int rows, int most) {
    const int sums = CSCX_LANES == 16 && rows <= 4 ? 16 : 8;
    const int blocks = sums / (rows * V);
    return blocks > most ? most : blocks > 1 ? blocks : 1;
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
    const int blocks = blocks_at_once(rows, 4);
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
    vf sums[CSCX_ROWS][8 * V];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width * V; i++) { sums[r][i] = load(out + r * stride + i * CSCX_LANES); }
    }
    for (size_t t = from; t < to; t++) {
        vf v[8 * V];
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
    const int blocks = blocks_at_once(rows, 8);
    const size_t stride = cscx_attention_width(padded);
    size_t c = 0;
    for (; c + 16 * blocks <= padded; c += 16 * blocks) {
        mix_rows(p, values, c * cscx_page_tokens, from, to, out + c, stride, rows, blocks);
    }
    if (blocks == 1) { return; }
    for (; c < padded; c += 16) { mix_rows(p, values, c * cscx_page_tokens, from, to, out + c, stride, rows, 1); }
}

// Computes a register tile of `left` rows with the code for the next number of rows for which there is code.
INLINE void score_tile(const float *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                       size_t left) {
    if (left == 1) { return score_slots(q, keys, head_size, scores, from, to, 1); }
    if (left == 2) { return score_slots(q, keys, head_size, scores, from, to, 2); }
#if CSCX_ROWS > 4
    if (left <= 4) { return score_slots(q, keys, head_size, scores, from, to, 4); }
#endif
#if CSCX_ROWS > 6
    if (left <= 6) { return score_slots(q, keys, head_size, scores, from, to, 6); }
#endif
#if CSCX_ROWS > 8
    if (left <= 8) { return score_slots(q, keys, head_size, scores, from, to, 8); }
    if (left <= 10) { return score_slots(q, keys, head_size, scores, from, to, 10); }
#endif
    score_slots(q, keys, head_size, scores, from, to, CSCX_ROWS);
}

INLINE void mix_tile(const float *p, stored values, size_t from, size_t to, float *out, size_t padded, size_t left) {
    if (left == 1) { return mix_channels(p, values, from, to, out, padded, 1); }
    if (left == 2) { return mix_channels(p, values, from, to, out, padded, 2); }
#if CSCX_ROWS > 4
    if (left <= 4) { return mix_channels(p, values, from, to, out, padded, 4); }
#endif
#if CSCX_ROWS > 6
    if (left <= 6) { return mix_channels(p, values, from, to, out, padded, 6); }
#endif
#if CSCX_ROWS > 8
    if (left <= 8) { return mix_channels(p, values, from, to, out, padded, 8); }
    if (left <= 10) { return mix_channels(p, values, from, to, out, padded, 10); }
#endif
    mix_channels(p, values, from, to, out, padded, CSCX_ROWS);
}

// One copy of the code for each format.
static void score(const float *q, stored keys, size_t head_size, float *scores, size_t from, size_t to, size_t left) {
    switch (keys.format) {
    case cscx_kv_f32: return score_tile(q, with(keys, cscx_kv_f32), head_size, scores, from, to, left);
    case cscx_kv_bf16: return score_tile(q, with(keys, cscx_kv_bf16), head_size, scores, from, to, left);
    case cscx_kv_f16: return score_tile(q, with(keys, cscx_kv_f16), head_size, scores, from, to, left);
    case cscx_kv_int8: return score_tile(q, with(keys, cscx_kv_int8), head_size, scores, from, to, left);
    }
}

static void mix(const float *p, stored values, size_t from, size_t to, float *out, size_t padded, size_t left) {
    switch (values.format) {
    case cscx_kv_f32: return mix_tile(p, with(values, cscx_kv_f32), from, to, out, padded, left);
    case cscx_kv_bf16: return mix_tile(p, with(values, cscx_kv_bf16), from, to, out, padded, left);
    case cscx_kv_f16: return mix_tile(p, with(values, cscx_kv_f16), from, to, out, padded, left);
    case cscx_kv_int8: return mix_tile(p, with(values, cscx_kv_int8), from, to, out, padded, left);
    }
}
