#ifndef CSCX_EXACT_TABLE_H
#define CSCX_EXACT_TABLE_H

#include "include/exact.h"

// The operations of one instruction set; exact_kernels.h describes them.
typedef struct cscx_exact_table {
    size_t tokens;  // Of the highest tile, at most 8.
    void (*panel)(const float *w, const double *x, size_t columns, double *y, size_t height);
    void (*round_heads)(float *x, size_t stride, size_t rows, size_t heads, size_t head_size, int bits);
} cscx_exact_table;

extern const cscx_exact_table cscx_exact_baseline;
#if defined(__x86_64__)
extern const cscx_exact_table cscx_exact_avx2;
extern const cscx_exact_table cscx_exact_avx512;
#endif

#endif
