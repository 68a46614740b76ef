// Chooses between the instances, and divides a matrix's columns among threads.
#include "sketch_internal.h"

#include "linear_blocks.h"

static const cscx_sketch_kernels *kernels_of(cscx_isa isa) {
#if defined(__x86_64__)
    if (isa >= cscx_isa_avx512) { return &cscx_sketch_avx512; }
    if (isa == cscx_isa_avx2) { return &cscx_sketch_avx2; }
#endif
    (void)isa;
    return &cscx_sketch_generic;
}

uint64_t cscx_sketch_dot(cscx_isa isa, const int32_t *q, const uint64_t *s, size_t count) {
    return kernels_of(isa)->dot(q, s, count);
}

typedef struct sketch {
    const cscx_sketch_kernels *kernels;
    const cscx_matrix *w;
    const uint64_t *s;
    uint64_t *out;
} sketch;

/// Computes a block of columns over all rows.
static void sketch_columns_of(void *context, size_t job) {
    const sketch *const k = context;
    const size_t padded = cscx_padded_columns(cscx_format_int8, k->w->columns), stride = padded * 16;
    const size_t first = job * sketch_columns, quads = at_most(sketch_columns, padded - first) / 4;
    const size_t panels = divided_up(k->w->rows, 16), whole = k->w->rows / 16;
    const int8_t *const w = (const int8_t *)k->w->values + first * 16;
    uint64_t out[sketch_columns] = {0};
    for (size_t panel = 0; panel < whole; panel += sketch_panels) {
        k->kernels->weights(
            w + panel * stride, stride, at_most(sketch_panels, whole - panel), quads, k->s + panel * 16, out);
    }
    if (panels > whole) {
        uint64_t rest[16] = {0};
        memcpy(rest, k->s + whole * 16, (k->w->rows - whole * 16) * sizeof(uint64_t));
        k->kernels->weights(w + whole * stride, stride, 1, quads, rest, out);
    }
    memcpy(k->out + first, out, at_most(sketch_columns, k->w->columns - first) * sizeof(uint64_t));
}

void cscx_sketch_weights(
    cscx_isa isa, const cscx_matrix *w, const uint64_t *s, uint64_t *out, cscx_runner threads) {
    sketch k = {kernels_of(isa), w, s, out};
    threads.run(threads.context, divided_up(w->columns, sketch_columns), sketch_columns_of, &k);
}
