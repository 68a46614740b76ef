// AVX2: 256-bit registers, 16 of them. A panel's 16 rows are two.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../ring_internal.h"

#define NAME(name) name##_avx2
#define TABLE cscx_ring_avx2
#define FEATURES "avx2"
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "ring_pairs.h"
#undef NAME
#undef TABLE
#undef FEATURES
#undef DOT

// AVX-VNNI multiplies and adds at once, on processors without AVX-512. This instance has not run on one that has it:
// it was tried with the same instruction in AVX-512's encoding.
#define NAME(name) name##_avxvnni
#define TABLE cscx_ring_avxvnni
#define FEATURES "avx2,avxvnni"
#define DOT(sum, a, b) _mm256_dpwssd_avx_epi32(sum, a, b)
#include "ring_pairs.h"
#endif
