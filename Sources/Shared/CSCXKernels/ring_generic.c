// Plain C: the reference of the other instruction sets, and the fallback of other processors.
#include "ring_internal.h"

static void tile(cscx_format format, const cscx_tile *t, size_t panels, size_t height) {
    (void)format;  // always int8
    (void)panels;  // always 1
    const uint32_t *z = t->x;
    const int8_t *w = (const int8_t *)t->weights;
    for (size_t c = 0; c < t->columns; c += 4, w += 64) {
        for (size_t i = 0; i < height; i++, z += 4) {
            for (size_t r = 0; r < 16; r++) {
                uint32_t sum = 0;
                for (size_t j = 0; j < 4; j++) { sum += (uint32_t)(int32_t)w[r * 4 + j] * z[j]; }
                t->ring_sums[i * 16 + r] += sum;
            }
        }
    }
}

static void split(const uint32_t *z, size_t quads, size_t height, uint32_t *words) {
    for (size_t q = 0; q < quads; q++) { memcpy(words + q * 4 * height, z + 4 * q, 16); }
}

const cscx_ring_kernels cscx_ring_generic = {
    .tile = tile,
    .split = split,
    .height = 4,
    .panels = {0, 1, 1, 1, 1},
};
