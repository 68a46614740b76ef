// How products in float64 are divided into jobs; also the baseline instance (128-bit vectors: SSE2 on x86-64, Advanced
// SIMD on arm64) and the choice between instances.

#if defined(__aarch64__)
#define CSCX_TOKENS 2  // 32 registers
#else
#define CSCX_TOKENS 1
#endif
#define CSCX_LANES 4
#define CSCX_NAME(name) name##_baseline
#include "vector.h"
#include "exact_kernels.h"

static const cscx_exact_table *table(cscx_isa isa) {
#if defined(__x86_64__)
    if (isa >= cscx_isa_avx512) { return &cscx_exact_avx512; }
    if (isa == cscx_isa_avx2) { return &cscx_exact_avx2; }
#endif
    (void)isa;
    return &cscx_exact_baseline;
}

// A block of a panel's weights stays in the first-level cache, and one of the activations in the second.
enum { block_tokens = 24, block_columns = 256, jobs_per_thread = 6 };

typedef struct product {
    const cscx_exact_table *table;
    const cscx_matrix *w;
    const float *x;
    double *y;
    size_t tokens, panels, panels_per_job;
} product;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Multiplies all tokens by a range of panels.
static void multiply(void *context, size_t job) {
    const product *const p = context;
    const size_t first = job * p->panels_per_job, last = least(first + p->panels_per_job, p->panels);
    const size_t columns = p->w->columns, rows = p->w->rows, step = p->table->tokens;
    double x[block_tokens * block_columns], part[8 * 16];
    for (size_t token = 0; token < p->tokens; token += block_tokens) {
        const size_t tokens = least(block_tokens, p->tokens - token);
        for (size_t column = 0; column < columns; column += block_columns) {
            const size_t width = least(block_columns, columns - column);
            // The activations of each tile as doubles, `[column][step]`.
            for (size_t t = 0; t < tokens; t++) {
                const float *const from = p->x + (token + t) * columns + column;
                double *const to = x + t / step * step * width + t % step;
                for (size_t c = 0; c < width; c++) { to[c * step] = from[c]; }
            }
            for (size_t i = first; i < last; i++) {
                const float *const w = (const float *)p->w->values + (i * columns + column) * 16;
                const size_t count = least(16, rows - i * 16);
                for (size_t t = 0; t < tokens; t += step) {
                    const size_t height = least(step, tokens - t);
                    p->table->panel(w, x + t * width, width, part, height);
                    for (size_t j = 0; j < height; j++) {
                        double *const y = p->y + (token + t + j) * rows + i * 16;
                        for (size_t r = 0; r < count; r++) {
                            y[r] = column == 0 ? part[j * 16 + r] : y[r] + part[j * 16 + r];
                        }
                    }
                }
            }
        }
    }
}

void cscx_exact_linear(
    cscx_isa isa, const cscx_matrix *w, const float *x, double *y, size_t tokens, cscx_runner threads) {
    product p = {table(isa), w, x, y, tokens, (w->rows + 15) / 16, 0};
    const size_t jobs = threads.threads == 1 ? 1 : threads.threads * jobs_per_thread;
    p.panels_per_job = (p.panels + jobs - 1) / jobs;
    threads.run(threads.context, (p.panels + p.panels_per_job - 1) / p.panels_per_job, multiply, &p);
}

void cscx_round_heads(
    cscx_isa isa, float *x, size_t stride, size_t rows, size_t heads, size_t head_size, int bits) {
    table(isa)->round_heads(x, stride, rows, heads, head_size, bits);
}
