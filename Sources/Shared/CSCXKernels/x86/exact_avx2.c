// The instance of exact_kernels.h for AVX2: only the functions of this file may use it.

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define CSCX_TOKENS 2
#define CSCX_LANES 8
#define CSCX_NAME(name) name##_avx2
#include "../vector.h"
#include "../exact_kernels.h"
#pragma clang attribute pop

#endif
