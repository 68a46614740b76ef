#ifndef CSCX_ELEMENTWISE_TABLE_H
#define CSCX_ELEMENTWISE_TABLE_H

#include "include/elementwise.h"

// The row operations of one instruction set, in the order of elementwise.h.
typedef struct cscx_elementwise_table {
    void (*rms_norm)(const float *, size_t, float *, size_t, size_t, size_t, size_t, const float *, float);
    void (*layer_norm)(const float *, size_t, float *, size_t, size_t, size_t, const float *, const float *, float);
    void (*activate)(cscx_activation, bool, const float *, float *, size_t, size_t);
    void (*add)(float *, const float *, size_t);
    void (*exp)(const float *, float *, size_t);
    void (*softmax)(float *, size_t);
    float (*log_sum_exp)(const float *, size_t);
    void (*rotate)(float *, size_t, size_t, size_t, size_t, size_t, const float *, const float *);
    size_t (*top_k)(const float *, size_t, size_t, float *, uint32_t *);
    bool (*quantize_groups)(const float *, size_t, size_t, uint32_t *, float *);
    bool (*dequantize_groups)(const uint32_t *, size_t, size_t, float *);
} cscx_elementwise_table;

extern const cscx_elementwise_table cscx_elementwise_baseline;
#if defined(__x86_64__)
extern const cscx_elementwise_table cscx_elementwise_avx2;
extern const cscx_elementwise_table cscx_elementwise_avx512;
#endif

#endif
