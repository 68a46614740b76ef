// The baseline instance (128-bit vectors: SSE2 on x86-64, Advanced SIMD on arm64) and the choice between instances.

#define CSCX_LANES 4
#define CSCX_NAME(name) name##_baseline
#include "vector.h"
#include "elementwise_kernels.h"

static const cscx_elementwise_table *table(cscx_isa isa) {
#if defined(__x86_64__)
    if (isa >= cscx_isa_avx512) { return &cscx_elementwise_avx512; }
    if (isa == cscx_isa_avx2) { return &cscx_elementwise_avx2; }
#endif
    (void)isa;
    return &cscx_elementwise_baseline;
}

void cscx_rms_norm(cscx_isa isa, const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                   size_t groups, size_t channels, const float *weight, float epsilon) {
    table(isa)->rms_norm(x, x_stride, out, out_stride, rows, groups, channels, weight, epsilon);
}

void cscx_layer_norm(cscx_isa isa, const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                     size_t channels, const float *weight, const float *bias, float epsilon) {
    table(isa)->layer_norm(x, x_stride, out, out_stride, rows, channels, weight, bias, epsilon);
}

void cscx_activate(cscx_isa isa, cscx_activation kind, bool gated, const float *x, float *out, size_t rows,
                   size_t features) {
    table(isa)->activate(kind, gated, x, out, rows, features);
}

void cscx_add(cscx_isa isa, float *x, const float *y, size_t count) { table(isa)->add(x, y, count); }

void cscx_exp(cscx_isa isa, const float *x, float *out, size_t count) { table(isa)->exp(x, out, count); }

void cscx_softmax(cscx_isa isa, float *x, size_t count) { table(isa)->softmax(x, count); }

float cscx_log_sum_exp(cscx_isa isa, const float *x, size_t count) { return table(isa)->log_sum_exp(x, count); }

void cscx_rotate(cscx_isa isa, float *x, size_t stride, size_t rows, size_t heads, size_t head_size, size_t half,
                 const float *cosines, const float *sines) {
    table(isa)->rotate(x, stride, rows, heads, head_size, half, cosines, sines);
}

size_t cscx_top_k(cscx_isa isa, const float *x, size_t count, size_t k, float *values, uint32_t *indices) {
    return table(isa)->top_k(x, count, k, values, indices);
}

bool cscx_quantize_groups(cscx_isa isa, const float *x, size_t count, size_t bits, uint32_t *words, float *out) {
    return table(isa)->quantize_groups(x, count, bits, words, out);
}

bool cscx_dequantize_groups(cscx_isa isa, const uint32_t *words, size_t count, size_t bits, float *out) {
    return table(isa)->dequantize_groups(words, count, bits, out);
}
