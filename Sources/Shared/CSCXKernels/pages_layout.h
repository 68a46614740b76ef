#ifndef CSCX_PAGES_LAYOUT_H
#define CSCX_PAGES_LAYOUT_H

#include "include/pages.h"

// Where the parts of one key-value head begin, in bytes from the beginning of its page; only int8 has scales.
typedef struct cscx_page_parts {
    size_t keys, values, key_scales, value_scales;
} cscx_page_parts;

static inline size_t cscx_kv_size(cscx_kv_format format) {
    return format == cscx_kv_f32 ? sizeof(float) : format == cscx_kv_int8 ? sizeof(int8_t) : sizeof(uint16_t);
}

static inline size_t cscx_padded_head(size_t head_size) { return (head_size + 15) / 16 * 16; }

static inline cscx_page_parts cscx_page_parts_of(cscx_kv_format format, size_t head_size, size_t head) {
    const size_t column = cscx_page_tokens * cscx_kv_size(format);
    const size_t scales = format == cscx_kv_int8 ? cscx_page_tokens * sizeof(float) : 0;
    const size_t bytes = column * (head_size + cscx_padded_head(head_size)) + 2 * scales;
    const size_t keys = head * bytes, values = keys + column * head_size;
    const size_t end = values + column * cscx_padded_head(head_size);
    return (cscx_page_parts){keys, values, end, end + scales};
}

#endif
