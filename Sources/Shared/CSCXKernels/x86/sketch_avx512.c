// The instance of sketch_kernels.h for AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define CSCX_NAME(name) name##_avx512
#define CSCX_LANES 8
#define CSCX_MULTIPLY(a, b) ((lanes)_mm512_mul_epi32((__m512i)(a), (__m512i)(b)))
#include "../sketch_kernels.h"
#pragma clang attribute pop
#endif
