// AVX-512 with VNNI: 512-bit registers, 32 of them. A panel's 16 rows are one.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../ring_internal.h"

#define REGISTERS 1
#define HEIGHT 6
#define PANELS {0, 4, 2, 2, 2, 2, 2}
#define SHAPES(call) \
    call(1, 1) call(1, 2) call(1, 3) call(1, 4) call(1, 5) call(1, 6) \
    call(2, 1) call(2, 2) call(2, 3) call(2, 4) call(2, 5) call(2, 6) call(4, 1)
typedef __m512i vector;
#define LOAD(from) _mm512_loadu_si512(from)
#define STORE(to, a) _mm512_storeu_si512(to, a)
#define ZERO() _mm512_setzero_si512()
#define SET1(word) _mm512_set1_epi32((int)(word))
#define ADD(a, b) _mm512_add_epi32(a, b)
#define LEFT16(a, n) _mm512_slli_epi16(a, n)
#define RIGHT16(a, n) _mm512_srai_epi16(a, n)
#define LEFT32(a, n) _mm512_slli_epi32(a, n)
#define KEEP(a)

#define NAME(name) name##_avx512
#define TABLE cscx_ring_avx512
#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "ring_kernels.h"
#endif
