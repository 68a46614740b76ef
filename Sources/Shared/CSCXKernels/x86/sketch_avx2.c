// The instance of sketch_kernels.h for AVX2.
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define CSCX_NAME(name) name##_avx2
#define CSCX_LANES 4
#define CSCX_MULTIPLY(a, b) ((lanes)_mm256_mul_epi32((__m256i)(a), (__m256i)(b)))
#include "../sketch_kernels.h"
#pragma clang attribute pop
#endif
