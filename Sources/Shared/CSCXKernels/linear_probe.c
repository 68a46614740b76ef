// Measures the most that the machine can do, so that a kernel's speed can be given as a fraction of it.
#include "linear_internal.h"

typedef uint64_t words __attribute__((vector_size(16)));

uint64_t cscx_probe_read(const void *data, size_t bytes) {
    // Four streams, prefetched: a processor reads several streams faster than one.
    enum { streams = 4, ahead = 2048 };
    const size_t length = bytes / streams;
    words mixed[4] = {{0}};
    for (size_t i = 0; i < length; i += 64) {
        for (size_t s = 0; s < streams; s++) {
            const char *const line = (const char *)data + s * length + i;
            __builtin_prefetch(line + ahead);
            for (size_t j = 0; j < 4; j++) { mixed[j] ^= ((const words *)line)[j]; }
        }
    }
    const words all = mixed[0] ^ mixed[1] ^ mixed[2] ^ mixed[3];
    return all[0] ^ all[1];
}

double cscx_probe_peak(cscx_isa isa, cscx_format format, size_t rounds) {
#if defined(__x86_64__)
    if (isa == cscx_isa_avx2) { return cscx_probe_peak_avx2(format, rounds); }
    if (isa >= cscx_isa_avx512) {
        return cscx_probe_peak_avx512(format, isa == cscx_isa_avx512bf16, rounds);
    }
#endif
    // On other processors, a tile on a block that stays in the first-level cache.
    (void)isa;
    static const uint8_t weights[64 * 64];
    static const float x[64 * 8], scales[8];
    static const int32_t sums[8];
    float out[64] = {0};
    const cscx_tile tile = {
        .weights = weights, .x = x, .x_scales = scales, .x_sums = sums, .columns = 64, .group = 32, .sums = out,
        .sums_stride = 64, .groups_per_scale = 1,
    };
#if defined(__aarch64__)
    const cscx_linear_kernels *const kernels = isa == cscx_isa_neon ? &cscx_linear_neon : &cscx_linear_generic;
#else
    const cscx_linear_kernels *const kernels = &cscx_linear_generic;
#endif
    for (size_t i = 0; i < rounds; i++) { kernels->tile(format, &tile, 1, 4); }
    return (double)rounds * 64 * 16 * 4;
}
