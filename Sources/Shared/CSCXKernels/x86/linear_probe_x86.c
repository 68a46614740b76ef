// The innermost instructions of the kernels on registers alone.
#if defined(__x86_64__)
#include <immintrin.h>

#include "../linear_internal.h"

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define AVX512BF16 __attribute__((target("avx512f,avx512bw,avx512vnni,avx512bf16")))

// Enough independent sums to hide the latency of any of the instructions.
enum { chains = 12 };

// Hides a register's value from the compiler, which would else move the work out of the loop.
#define HIDE(value) __asm__ volatile("" : "+x"(value))
#define HIDE_WIDE(value) __asm__ volatile("" : "+v"(value))

AVX2 double cscx_probe_peak_avx2(cscx_format format, size_t rounds) {
    if (format <= cscx_format_bf16) {  // bf16 weights are widened
        __m256 sum[chains], x = _mm256_set1_ps(0.5f);
        UNROLL for (int i = 0; i < chains; i++) { sum[i] = x; }
        for (size_t r = 0; r < rounds; r++) {
            UNROLL for (int i = 0; i < chains; i++) {
                sum[i] = _mm256_fmadd_ps(sum[i], x, x);
                HIDE(sum[i]);
            }
        }
        return (double)rounds * chains * 8;
    }
    enum { integer_chains = 8 };
    __m256i sum[integer_chains], x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
    UNROLL for (int i = 0; i < integer_chains; i++) { sum[i] = _mm256_setzero_si256(); }
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < integer_chains; i++) {
            HIDE(x);
            HIDE(w);
            if (format == cscx_format_int8) {
                const __m256i pairs = _mm256_maddubs_epi16(w, _mm256_sign_epi8(x, w));
                sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, ones));
            } else {
                sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(w, x));
            }
            HIDE(sum[i]);
        }
    }
    return (double)rounds * integer_chains * 32;
}

AVX512 static double peak_avx512(cscx_format format, size_t rounds) {
    if (format <= cscx_format_bf16) {
        __m512 sum[chains], x = _mm512_set1_ps(0.5f);
        UNROLL for (int i = 0; i < chains; i++) { sum[i] = x; }
        for (size_t r = 0; r < rounds; r++) {
            UNROLL for (int i = 0; i < chains; i++) {
                sum[i] = _mm512_fmadd_ps(sum[i], x, x);
                HIDE_WIDE(sum[i]);
            }
        }
        return (double)rounds * chains * 16;
    }
    __m512i sum[chains], x = _mm512_set1_epi8(3);
    UNROLL for (int i = 0; i < chains; i++) { sum[i] = _mm512_setzero_si512(); }
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < chains; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
            HIDE_WIDE(sum[i]);
        }
    }
    return (double)rounds * chains * 64;
}

AVX512BF16 static double peak_bf16(size_t rounds) {
    __m512 sum[chains];
    const __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f003f00);
    UNROLL for (int i = 0; i < chains; i++) { sum[i] = _mm512_setzero_ps(); }
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < chains; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
            HIDE_WIDE(sum[i]);
        }
    }
    return (double)rounds * chains * 32;
}

double cscx_probe_peak_avx512(cscx_format format, bool bf16, size_t rounds) {
    return bf16 && format == cscx_format_bf16 ? peak_bf16(rounds) : peak_avx512(format, rounds);
}
#endif
