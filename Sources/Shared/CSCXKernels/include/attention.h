#ifndef CSCX_ATTENTION_H
#define CSCX_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"
#include "pages.h"

/// One call of attention; the Swift function documents the formula.
typedef struct cscx_attention {
    const float *q;             ///< The first query row: `[heads][head_size]`.
    size_t q_stride;            ///< Floats from one query row to the next.
    float *out;                 ///< The first result row: `[heads][head_size]`.
    size_t out_stride;          ///< Floats from one result row to the next.
    size_t tokens;              ///< Query rows; the last is at position `count - 1`.
    size_t heads;               ///< A multiple of `kv_heads`.
    size_t kv_heads;
    size_t head_size;
    const void *const *pages;   ///< The cache's pages, 64 tokens each.
    size_t count;               ///< Tokens in the cache.
    cscx_kv_format format;      ///< How the cache stores its elements.
    bool causal;                ///< Else a query also sees later tokens.
    float scale;                ///< Factor of the scores.
    bool exact_scores;          ///< Scores are summed in float64 and then scaled and rounded to float32.
    float cap;                  ///< Scores s become cap · tanh(s / cap); 0 leaves them as they are.
    const float *sinks;         ///< For each head the score of a token without a value; NULL for none.
    size_t window;              ///< A query at p sees tokens t with |p - t| < window.
    bool split;                 ///< Each chunk of the cache is a job of its own; changes no bit of the result.
    float *partials;            ///< When split: `cscx_attention_partials` floats.
    bool wipe;                  ///< Each job overwrites what it used of its working memory with zeros.
} cscx_attention;

enum {
    /// The most query rows (tokens times heads of one key-value head) of one job.
    cscx_attention_rows = 48,
    /// How many tokens of the cache are summed separately, counted from its first token: a multiple of a page.
    cscx_attention_chunk = 512,
};

/// How many chunks of the cache there are to which some query attends.
size_t cscx_attention_chunks(const cscx_attention *call);

/// How many jobs a call has: for each tile of query rows of each key-value head one job, or when split one for each
/// chunk.
size_t cscx_attention_jobs(const cscx_attention *call);

/// How many floats the jobs of a split call write for `cscx_attention_merge`.
size_t cscx_attention_partials(const cscx_attention *call);

/// How many floats the working memory of one job has.
size_t cscx_attention_scratch(cscx_isa isa, const cscx_attention *call);

/// Runs job `job`; jobs may run at the same time, each with its own `scratch`, aligned to 64 bytes.
void cscx_attention_run(cscx_isa isa, const cscx_attention *call, size_t job, float *scratch);

/// Joins the results of a split call, after all jobs have run.
void cscx_attention_merge(const cscx_attention *call);

#endif
