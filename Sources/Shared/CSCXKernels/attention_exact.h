// Scores of attention in float64, for the vector width and the target of the including file.
//
// The order of the channels is a secret of the client's, so a score must not depend on it. It does not if the queries and
// keys are rounded as `cscx_round_heads` does: then no sum of their products is rounded. The finished sum is scaled and
// rounded to float32, once.

#include "vector_double.h"

enum {
    // Rows of one register tile, and blocks of 16 tokens with few rows. AVX-512 has registers for all rows, the others for
    // two (AVX2) or one.
    exact_rows = CSCX_LANES == 16 ? CSCX_ROWS : CSCX_LANES == 8 ? 2 : 1,
    exact_blocks = CSCX_LANES == 16 ? 4 : 2,
};

// As score_rows, for queries `[head_size][CSCX_ROWS]` in float64, unscaled.
INLINE void exact_score_rows(const double *q, stored keys, size_t start, size_t head_size, float *scores, double scale,
                             const int rows, const int blocks) {
    vd sums[exact_rows][2 * V * exact_blocks];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < 2 * V * blocks; i++) { sums[r][i] = 0; }
    }
    for (size_t d = 0; d < head_size; d++) {
        vd k[2 * V * exact_blocks];
        fetch(keys, start + d * blocks * 16, blocks * 16);
        for (int b = 0; b < blocks; b++) {
            vf v[V];
            load16(keys, start + (b * head_size + d) * 16, v);
            for (int i = 0; i < V; i++) {
                k[2 * (b * V + i)] = doubles_of(v[i].lo);
                k[2 * (b * V + i) + 1] = doubles_of(v[i].hi);
            }
        }
        for (int r = 0; r < rows; r++) {
            const double x = q[d * CSCX_ROWS + r];
            for (int i = 0; i < 2 * V * blocks; i++) { sums[r][i] = x * k[i] + sums[r][i]; }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < 2 * V * blocks; i++) {
            store_doubles(scores + r * cscx_page_tokens + i * (CSCX_LANES / 2), sums[r][i] * scale);
        }
    }
}

// The scores of the slots from `from` to before `to`, multiples of 16.
INLINE void exact_slots(const double *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                        double scale, const int rows, const int blocks) {
    size_t t = from;
    for (; t + 16 * blocks <= to; t += 16 * blocks) {
        exact_score_rows(q, keys, t * head_size, head_size, scores + t, scale, rows, blocks);
    }
    if (blocks == 1) { return; }
    for (; t < to; t += 16) {
        exact_score_rows(q, keys, t * head_size, head_size, scores + t, scale, rows, 1);
    }
}

INLINE void exact_score_tile(const double *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                             double scale, size_t left) {
    for (size_t r = 0; r < left; r += exact_rows) {
        const double *const own = q + r;
        float *const out = scores + r * cscx_page_tokens;
        if (left - r == 1 || exact_rows == 1) {
            exact_slots(own, keys, head_size, out, from, to, scale, 1, exact_rows == 1 ? 1 : exact_blocks);
#if CSCX_LANES == 16
        } else if (left - r <= 2) {
            exact_slots(own, keys, head_size, out, from, to, scale, 2, 2);
        } else if (left - r <= 4) {
            exact_slots(own, keys, head_size, out, from, to, scale, 4, 1);
        } else if (left - r <= 8) {
            exact_slots(own, keys, head_size, out, from, to, scale, 8, 1);
#endif
        } else {
            exact_slots(own, keys, head_size, out, from, to, scale, exact_rows, 1);
        }
    }
}

// One copy of the code for each format.
static void exact_score(const double *q, stored keys, size_t head_size, float *scores, size_t from, size_t to,
                        double scale, size_t left) {
    switch (keys.format) {
    case cscx_kv_f32:
        return exact_score_tile(q, with(keys, cscx_kv_f32), head_size, scores, from, to, scale, left);
    case cscx_kv_bf16:
        return exact_score_tile(q, with(keys, cscx_kv_bf16), head_size, scores, from, to, scale, left);
    case cscx_kv_f16:
        return exact_score_tile(q, with(keys, cscx_kv_f16), head_size, scores, from, to, scale, left);
    case cscx_kv_int8:
        return exact_score_tile(q, with(keys, cscx_kv_int8), head_size, scores, from, to, scale, left);
    }
}
