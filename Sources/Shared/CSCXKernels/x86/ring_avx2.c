// AVX2: 256-bit registers, 16 of them. A panel's 16 rows are two.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../ring_internal.h"

#define REGISTERS 2
#define HEIGHT 3
#define PANELS {0, 2, 1, 1}
#define SHAPES(call) call(1, 1) call(1, 2) call(1, 3) call(2, 1)
typedef __m256i vector;
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(from))
#define STORE(to, a) _mm256_storeu_si256((__m256i *)(to), a)
#define ZERO() _mm256_setzero_si256()
#define SET1(word) _mm256_set1_epi32((int)(word))
#define ADD(a, b) _mm256_add_epi32(a, b)
#define LEFT16(a, n) _mm256_slli_epi16(a, n)
#define RIGHT16(a, n) _mm256_srai_epi16(a, n)
#define LEFT32(a, n) _mm256_slli_epi32(a, n)
// Else the compiler adds in another order, with more registers than there are.
#define KEEP(a) __asm__ volatile("" : "+x"(a))

#define NAME(name) name##_avx2
#define TABLE cscx_ring_avx2
#define FEATURES "avx2"
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "ring_kernels.h"
#undef NAME
#undef TABLE
#undef FEATURES
#undef DOT

// AVX-VNNI multiplies and adds at once, on processors without AVX-512. No machine that had it has run this instance:
// its instruction was tried in the encoding that AVX-512 has for it.
#define NAME(name) name##_avxvnni
#define TABLE cscx_ring_avxvnni
#define FEATURES "avx2,avxvnni"
#define DOT(sum, a, b) _mm256_dpwssd_avx_epi32(sum, a, b)
#include "ring_kernels.h"
#endif
