// The instance of exact_kernels.h for AVX-512: only the functions of this file may use it.

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#define CSCX_TOKENS 8
#define CSCX_LANES 16
#define CSCX_NAME(name) name##_avx512
#include "../vector.h"
#include "../exact_kernels.h"
#pragma clang attribute pop

#endif
