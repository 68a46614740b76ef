#ifndef CSCX_SECRETS_H
#define CSCX_SECRETS_H

#include <stddef.h>

// Memory for secrets: keys, pads, caches of keys and values. Linux leaves it out of core dumps (MADV_DONTDUMP), and it is
// overwritten with zeros when it is freed.

/// Memory of `bytes` bytes with unknown content, aligned to cache lines; NULL when there is none.
///
/// Any thread may call this.
void *cscx_secret_create(size_t bytes);

/// Overwrites memory from cscx_secret_create with zeros and frees it; `bytes` must be as they were.
void cscx_secret_free(void *start, size_t bytes);

/// Has the system leave the whole pages of this memory out of core dumps; does nothing where it cannot.
void cscx_forbid_dump_of(void *start, size_t bytes);

/// Bytes that cscx_secret_create has taken from the system and not given back.
size_t cscx_secret_bytes(void);

#endif
