#ifndef CSCX_PAGES_H
#define CSCX_PAGES_H

#include <stddef.h>
#include <stdint.h>

/// How a cache stores its elements. Rounding is to nearest, ties to even.
typedef enum cscx_kv_format {
    cscx_kv_f32,   ///< As they are.
    cscx_kv_bf16,  ///< bfloat16; NaN stays NaN.
    cscx_kv_f16,   ///< IEEE half; what is finite and too large becomes ±65504, infinities and NaN stay.
    /// Integers q from -127 to 127 with one float32 scale for each token and head, separate for keys and values.
    ///
    /// An element is q · scale. The scale is the largest magnitude of the head over 127, at least 2^-126. A head with
    /// an element that is not finite has the scale NaN and zeros.
    cscx_kv_int8,
} cscx_kv_format;

/// Tokens of one page of a layer's cache.
///
/// A page holds for each key-value head, one after the other, these parts. Each is a multiple of 64 bytes long, so
/// all begin at cache lines; an element has 4, 2, 2 or 1 bytes, and `padded` is the head size rounded up to 16.
///
/// | part         | shape                                    | bytes                   |
/// | ------------ | ---------------------------------------- | ----------------------- |
/// | keys         | `[4][head_size][16 tokens]`              | 64 · head_size · element |
/// | values       | `[padded / 16][64 tokens][16 channels]`  | 64 · padded · element   |
/// | key scales   | `[64 tokens]` float32, int8 alone        | 256                     |
/// | value scales | `[64 tokens]` float32, int8 alone        | 256                     |
///
/// Channels from the head size to `padded` are zeros. The scores of 16 tokens are then sums of broadcast queries times
/// adjacent keys, and 16 channels of the result sums of broadcast weights times adjacent values: no horizontal sums,
/// and both are read in the order in which they lie.
enum { cscx_page_tokens = 64 };

/// Bytes of one key-value head in a page.
size_t cscx_page_head_bytes(cscx_kv_format format, size_t head_size);

/// Memory for one page, aligned to cache lines; NULL when there is none.
void *cscx_page_create(size_t bytes);

/// Frees a page.
void cscx_page_free(void *page);

/// Overwrites memory with zeros, even if nobody reads it again and the compiler could therefore leave this out.
void cscx_wipe(void *start, size_t bytes);

/// Writes `tokens` rows of one page, from slot `first` on; first + tokens <= 64.
///
/// Row t has its keys, `[kv_heads][head_size]`, at `keys + t * stride`, and its values likewise. The bytes do not
/// depend on the processor.
void cscx_page_write(void *page, cscx_kv_format format, size_t kv_heads, size_t head_size, size_t first, size_t tokens,
                     const float *keys, const float *values, size_t stride);

/// Reads one token of a page: `[kv_heads][head_size]` keys and as many values, with the values that attention uses.
void cscx_page_read(const void *page, cscx_kv_format format, size_t kv_heads, size_t head_size, size_t slot,
                    float *keys, float *values);

/// Writes to `to` what one head's keys or values become when they are stored and read back; `to` may be `from`.
void cscx_kv_round(cscx_kv_format format, size_t head_size, const float *from, float *to);

#endif
