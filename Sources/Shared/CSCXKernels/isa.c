#include "isa.h"

cscx_isa cscx_detect_isa(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();  // also checks that the system saves the wide registers (XGETBV)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512vnni")) {
        return __builtin_cpu_supports("avx512bf16") ? cscx_isa_avx512bf16 : cscx_isa_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
        return cscx_isa_avx2;
    }
#elif defined(__aarch64__)
    return cscx_isa_neon;
#endif
    return cscx_isa_generic;
}
