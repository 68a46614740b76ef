// The row operations, for the vector width and the target of the including file.

#include <math.h>

#include "elementwise_table.h"
#include "groups_kernels.h"

INLINE void rms_norm_group(const float *x, float *out, size_t channels, const float *weight, float epsilon) {
    vf sums[4] = {0, 0, 0, 0};
    size_t c = 0;
    for (; c + 4 * CSCX_LANES <= channels; c += 4 * CSCX_LANES) {
        for (int i = 0; i < 4; i++) {
            const vf v = load(x + c + i * CSCX_LANES);
            sums[i] = v * v + sums[i];
        }
    }
    for (; c < channels; c += CSCX_LANES) {
        const vf v = c + CSCX_LANES <= channels ? load(x + c) : load_some(x + c, channels - c, 0);
        sums[0] = v * v + sums[0];
    }
    const float mean = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3])) / (float)channels;
    const float scale = 1.0f / sqrtf(mean + epsilon);
    for (c = 0; c + CSCX_LANES <= channels; c += CSCX_LANES) {
        store(out + c, load(weight + c) * (load(x + c) * scale));
    }
    for (; c < channels; c++) { out[c] = weight[c] * (x[c] * scale); }
}

static void rms_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows, size_t groups,
                     size_t channels, const float *weight, float epsilon) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t g = 0; g < groups; g++) {
            rms_norm_group(x + r * x_stride + g * channels, out + r * out_stride + g * channels, channels, weight,
                           epsilon);
        }
    }
}

static void layer_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows, size_t channels,
                       const float *weight, const float *bias, float epsilon) {
    for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride) {
        vf sums[2] = {0, 0};
        size_t c = 0;
        for (; c + 2 * CSCX_LANES <= channels; c += 2 * CSCX_LANES) {
            sums[0] += load(x + c);
            sums[1] += load(x + c + CSCX_LANES);
        }
        for (; c < channels; c += CSCX_LANES) {
            sums[0] += c + CSCX_LANES <= channels ? load(x + c) : load_some(x + c, channels - c, 0);
        }
        const float mean = sum_of(sums[0] + sums[1]) / (float)channels;
        // A second pass over the row in cache: the difference of two large sums would lose the variance.
        vf squares[2] = {0, 0};
        for (c = 0; c + 2 * CSCX_LANES <= channels; c += 2 * CSCX_LANES) {
            const vf a = load(x + c) - mean, b = load(x + c + CSCX_LANES) - mean;
            squares[0] = a * a + squares[0];
            squares[1] = b * b + squares[1];
        }
        for (; c < channels; c += CSCX_LANES) {
            const vf a = (c + CSCX_LANES <= channels ? load(x + c) : load_some(x + c, channels - c, mean)) - mean;
            squares[0] = a * a + squares[0];
        }
        const float scale = 1.0f / sqrtf(sum_of(squares[0] + squares[1]) / (float)channels + epsilon);
        for (c = 0; c < channels; c++) {
            const float v = (x[c] - mean) * scale * weight[c];
            out[c] = bias ? v + bias[c] : v;
        }
    }
}

// x · Φ(x) without the loss of digits of 1 + erf(x) for negative x. The error function has no vector form here.
INLINE vf gelu(vf x) {
    float lanes[CSCX_LANES];
    store(lanes, x);
    for (size_t i = 0; i < CSCX_LANES; i++) { lanes[i] = 0.5f * lanes[i] * erfcf(lanes[i] * -0.707106781f); }
    return load(lanes);
}

// 0.5 · x · (1 + tanh(u)) = x / (1 + e^(-2u)), with u = sqrt(2 / pi) · (x + 0.044715 · x³).
INLINE vf gelu_tanh(vf x) {
    const vf u = 0.797884561f * (x + 0.044715f * x * x * x);
    return x / (1.0f + exp_of(-2.0f * u));
}

INLINE vf activated(cscx_activation kind, vf x) {
    const vf zero = 0.0f;
    switch (kind) {
    case cscx_silu: return x / (1.0f + exp_of(-x));
    case cscx_gelu: return gelu(x);
    case cscx_gelu_tanh: return gelu_tanh(x);
    case cscx_relu: return x < zero ? zero : x;
    }
    return x;
}

// `kind` and `gated` are constants at each call.
INLINE void activate_rows(const cscx_activation kind, const bool gated, const float *x, float *out, size_t rows,
                          size_t features) {
    const size_t stride = gated ? 2 * features : features;
    for (size_t r = 0; r < rows; r++, x += stride, out += features) {
        size_t f = 0;
        for (; f + CSCX_LANES <= features; f += CSCX_LANES) {
            const vf y = activated(kind, load(x + f));
            store(out + f, gated ? y * load(x + features + f) : y);
        }
        const size_t rest = features - f;
        if (rest) {
            const vf y = activated(kind, load_some(x + f, rest, 0));
            store_some(out + f, gated ? y * load_some(x + features + f, rest, 0) : y, rest);
        }
    }
}

static void activate(cscx_activation kind, bool gated, const float *x, float *out, size_t rows, size_t features) {
#define CSCX_ACTIVATE(name) \
    case name: \
        if (gated) { return activate_rows(name, true, x, out, rows, features); } \
        return activate_rows(name, false, x, out, rows, features);
    switch (kind) {
        CSCX_ACTIVATE(cscx_silu)
        CSCX_ACTIVATE(cscx_gelu)
        CSCX_ACTIVATE(cscx_gelu_tanh)
        CSCX_ACTIVATE(cscx_relu)
    }
#undef CSCX_ACTIVATE
}

static void add(float *x, const float *y, size_t count) {
    for (size_t i = 0; i < count; i++) { x[i] += y[i]; }
}

static void exp_all(const float *x, float *out, size_t count) {
    size_t i = 0;
    for (; i + CSCX_LANES <= count; i += CSCX_LANES) { store(out + i, exp_of(load(x + i))); }
    if (i < count) { store_some(out + i, exp_of(load_some(x + i, count - i, 0)), count - i); }
}

INLINE float largest(const float *x, size_t count) {
    vf best = -INFINITY;
    for (size_t i = 0; i < count; i += CSCX_LANES) {
        best = larger(i + CSCX_LANES <= count ? load(x + i) : load_some(x + i, count - i, -INFINITY), best);
    }
    return max_of(best);
}

// Σ e^(x - top), with the terms in `out` unless it is NULL. A vocabulary is long: blocks keep the sum exact enough.
INLINE float sum_of_exp(const float *x, float top, float *out, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count;) {
        const size_t end = count - i < 1024 ? count : i + 1024;
        vf part = 0;
        for (; i + CSCX_LANES <= end; i += CSCX_LANES) {
            const vf v = exp_of(load(x + i) - top);
            part += v;
            if (out) { store(out + i, v); }
        }
        if (i < end) {
            const vf v = exp_of(load_some(x + i, end - i, -INFINITY) - top);
            part += v;
            if (out) { store_some(out + i, v, end - i); }
            i = end;
        }
        sum += sum_of(part);
    }
    return (float)sum;
}

static void softmax(float *x, size_t count) {
    const float top = largest(x, count);
    const float scale = 1.0f / sum_of_exp(x, top, x, count);
    for (size_t i = 0; i < count; i++) { x[i] *= scale; }
}

static float log_sum_exp(const float *x, size_t count) {
    const float top = largest(x, count);
    return top + logf(sum_of_exp(x, top, NULL, count));
}

static void rotate(float *x, size_t stride, size_t rows, size_t heads, size_t head_size, size_t half,
                   const float *cosines, const float *sines) {
    for (size_t r = 0; r < rows; r++, cosines += half, sines += half) {
        for (size_t h = 0; h < heads; h++) {
            float *const a = x + r * stride + h * head_size;
            float *const b = a + half;
            size_t i = 0;
            for (; i + CSCX_LANES <= half; i += CSCX_LANES) {
                const vf u = load(a + i), v = load(b + i), c = load(cosines + i), s = load(sines + i);
                store(a + i, u * c - v * s);
                store(b + i, v * c + u * s);
            }
            for (; i < half; i++) {
                const float u = a[i], v = b[i];
                a[i] = u * cosines[i] - v * sines[i];
                b[i] = v * cosines[i] + u * sines[i];
            }
        }
    }
}

// True when a pair is a worse choice than another: smaller, or as large and further back.
INLINE bool worse(float a, uint32_t i, float b, uint32_t j) { return a < b || (a == b && i > j); }

// Puts the pair in at `hole` of a heap whose worst pair is on top, after moving better ones' parents up.
INLINE void sift_down(float *values, uint32_t *indices, size_t count, size_t hole, float value, uint32_t index) {
    for (size_t child = 2 * hole + 1; child < count; child = 2 * hole + 1) {
        if (child + 1 < count && worse(values[child + 1], indices[child + 1], values[child], indices[child])) {
            child++;
        }
        if (!worse(values[child], indices[child], value, index)) { break; }
        values[hole] = values[child];
        indices[hole] = indices[child];
        hole = child;
    }
    values[hole] = value;
    indices[hole] = index;
}

static size_t top_k(const float *x, size_t count, size_t k, float *values, uint32_t *indices) {
    size_t held = 0, i = 0;
    for (; i < count && held < k; i++) {
        if (x[i] == x[i]) {
            values[held] = x[i];
            indices[held++] = (uint32_t)i;
        }
    }
    for (size_t parent = held / 2; parent-- > 0;) {
        sift_down(values, indices, held, parent, values[parent], indices[parent]);
    }
    // Almost every number is below the worst one held, so whole blocks are passed over.
    for (; held > 0 && i < count;) {
        const size_t end = count - i < 4 * CSCX_LANES ? count : i + 4 * CSCX_LANES;
        if (end - i == 4 * CSCX_LANES) {
            vi above = 0;
            for (int j = 0; j < 4; j++) { above |= load(x + i + j * CSCX_LANES) > values[0]; }
            if (!__builtin_reduce_or(above)) {
                i = end;
                continue;
            }
        }
        for (; i < end; i++) {
            if (x[i] > values[0]) { sift_down(values, indices, held, 0, x[i], (uint32_t)i); }
        }
    }
    // Heap sort: the worst pair goes to the end of what is left.
    for (size_t left = held; left > 1; left--) {
        const float value = values[left - 1];
        const uint32_t index = indices[left - 1];
        values[left - 1] = values[0];
        indices[left - 1] = indices[0];
        sift_down(values, indices, left - 1, 0, value, index);
    }
    return held;
}

const cscx_elementwise_table CSCX_NAME(cscx_elementwise) = {
    rms_norm, layer_norm, activate, add, exp_all, softmax, log_sum_exp, rotate, top_k, quantize_groups,
    dequantize_groups,
};
