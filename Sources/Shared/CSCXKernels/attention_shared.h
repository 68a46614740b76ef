#ifndef CSCX_ATTENTION_SHARED_H
#define CSCX_ATTENTION_SHARED_H

#include "include/attention.h"

// What a job of attention works on, worked out once for every instruction set.
typedef struct cscx_attention_tile {
    size_t kv_head;
    size_t group;              // query heads per key-value head
    size_t first_row;          // row r of a key-value head is token r / group, head r % group
    size_t rows;               // at most cscx_attention_rows
    size_t padded;             // head_size rounded up to 16
    size_t begin, end;         // tokens of the cache that some row sees, within the job's split
    float *partial;            // NULL without splits; else [rows][padded + 2]: sums, then maximum and denominator
} cscx_attention_tile;

cscx_attention_tile cscx_attention_tile_of(const cscx_attention *call, size_t job);

// Tokens that the query of `token` sees: from *begin to before *end.
static inline void cscx_attention_visible(const cscx_attention *call, size_t token, size_t *begin, size_t *end) {
    *begin = 0;
    *end = call->count;
    if (!call->causal) { return; }
    *end = call->count - call->tokens + token + 1;
    *begin = *end > call->window ? *end - call->window : 0;
}

typedef void (*cscx_attention_function)(const cscx_attention *, const cscx_attention_tile *, float *scratch);

void cscx_attention_tile_baseline(const cscx_attention *, const cscx_attention_tile *, float *scratch);
#if defined(__x86_64__)
void cscx_attention_tile_avx2(const cscx_attention *, const cscx_attention_tile *, float *scratch);
void cscx_attention_tile_avx512(const cscx_attention *, const cscx_attention_tile *, float *scratch);
#endif

#endif
