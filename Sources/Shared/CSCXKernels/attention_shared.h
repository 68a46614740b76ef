#ifndef CSCX_ATTENTION_SHARED_H
#define CSCX_ATTENTION_SHARED_H

#include <math.h>

#include "include/attention.h"
#include "pages_layout.h"

// The bits of a row's result depend on its query, on the tokens to which it attends, and on the shape alone. They do
// not depend on the other rows of a call, on threads, or on what else the cache holds. Speculative decoding and
// prompts in chunks rely on this. It holds because the place of each step below depends only on the positions of the
// tokens, and because each path of the code does the same operations on a row in the same order:
//
// - A score is one chain of multiply-adds over the channels, in every register tile. Exact scores are chains in float64
//   whose sums are not rounded when the caller has rounded queries and keys for that (`cscx_round_heads`).
// - Chunks of 512 tokens and pages of 64 begin at multiples of these numbers from the first token of the cache.
//   Within a chunk the pages to which a row attends are computed in order. The maximum of a page is over the tokens
//   to which the row attends, and so are the weights; the denominator adds them in lanes by their slot in the page.
// - The sums of a chunk are one chain of multiply-adds over the tokens to which the row attends, in order; a page
//   with a larger maximum scales them in between. A token to which the row does not attend takes no part, not even
//   with weight 0. Rows of one register tile that attend to different tokens are computed separately for those
//   tokens.
// - Chunks begin from nothing and are joined in order by cscx_attention_fold, on one thread or many.
//
// Converting the cache's elements to float32 is exact, so it does not matter whether they are copied first. The
// scales of int8 are not part of the chains: a finished score is multiplied by its key's scale, a finished weight by
// its value's.

// What a job of attention computes, derived from the call once for every instruction set.
typedef struct cscx_attention_tile {
    size_t kv_head;
    size_t group;              // query heads per key-value head
    size_t first_row;          // row r of a key-value head is token r / group, head r % group
    size_t rows;               // at most cscx_attention_rows
    size_t padded;             // head_size rounded up to 16
    size_t first_chunk;        // the job's chunks are those from here
    size_t last_chunk;         // to before here; none when not above first_chunk
    float *partial;            // when split: receives the chunk's results, [rows][width]; else NULL
} cscx_attention_tile;

cscx_attention_tile cscx_attention_tile_of(const cscx_attention *call, size_t job);

// Floats of the result of one row over some tokens: [padded] sums, maximum, denominator, and padding up to whole
// cache lines.
static inline size_t cscx_attention_width(size_t padded) { return padded + 16; }

// Adds a chunk's result to those of the chunks before it; with `first` it copies the result. This one function serves
// every instruction set and split, so that the arithmetic is the same in all.
void cscx_attention_fold(float *all, const float *part, size_t padded, bool first);

// Writes the result of row `row` of the tile's key-value head from the joined results of all chunks.
static inline void cscx_attention_finish(const cscx_attention *call, const cscx_attention_tile *tile, size_t row,
                                         const float *all) {
    float *const out = call->out + row / tile->group * call->out_stride
        + (tile->kv_head * tile->group + row % tile->group) * call->head_size;
    float denominator = all[tile->padded + 1];
    if (call->sinks) {
        const float sink = call->sinks[tile->kv_head * tile->group + row % tile->group];
        denominator += exp2f(sink * 1.44269504f - all[tile->padded]);
    }
    for (size_t d = 0; d < call->head_size; d++) { out[d] = all[d] / denominator; }
}

// The tokens to which the query of `token` attends: from *begin to before *end, at least one.
static inline void cscx_attention_visible(const cscx_attention *call, size_t token, size_t *begin, size_t *end) {
    const size_t after = call->count - call->tokens + token + 1;  // the query's own token is the one before
    *begin = after > call->window ? after - call->window : 0;
    *end = after;
    if (call->causal) { return; }
    *end = call->count - after < call->window ? call->count : after + call->window - 1;
}

typedef void (*cscx_attention_function)(const cscx_attention *, const cscx_attention_tile *, float *scratch);

void cscx_attention_tile_baseline(const cscx_attention *, const cscx_attention_tile *, float *scratch);
#if defined(__x86_64__)
void cscx_attention_tile_avx2(const cscx_attention *, const cscx_attention_tile *, float *scratch);
void cscx_attention_tile_avx512(const cscx_attention *, const cscx_attention_tile *, float *scratch);
#endif

#endif
