// An allocator for secrets. Blocks lie in memory of their own, which no core dump contains, and are zeroed when freed.
//
// Sizes are rounded up to one of four between a power of two and the next. Blocks of up to 512 KiB are cut from chunks of
// 4 MiB and stay with their size for good. Larger ones come from the system one by one; some are kept when they are freed,
// since new pages cost more than what is computed in them.

#define _DEFAULT_SOURCE
#include "secrets.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pages.h"

#if defined(__SANITIZE_ADDRESS__)
#define CSCX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CSCX_SANITIZED 1
#endif
#endif

void cscx_forbid_dump_of(void *start, size_t bytes) {
#ifdef MADV_DONTDUMP
    const uintptr_t page = 4096, first = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)start + bytes) / page * page;
    // Where a system has larger pages the call fails, and dumps are forbidden as a whole anyway.
    if (first < end) { madvise((void *)first, end - first, MADV_DONTDUMP); }
#else
    (void)start; (void)bytes;
#endif
}

#ifdef CSCX_SANITIZED

// The sanitizer's own allocator finds what is used after it was freed.
void *cscx_secret_create(size_t bytes) {
    void *start = NULL;
    return posix_memalign(&start, 64, bytes ? bytes : 1) == 0 ? start : NULL;
}

void cscx_secret_free(void *start, size_t bytes) {
    if (!start) { return; }
    cscx_wipe(start, bytes);
    free(start);
}

size_t cscx_secret_bytes(void) { return 0; }

#else

enum {
    chunk_bytes = 4 << 20,
    largest_in_chunk = 512 << 10,
    // Blocks above this size, 32 MiB, are never kept.
    largest_kept = 32 << 20,
    most_kept = 64 << 20,
    size_count = 72,
};

typedef struct freed {
    struct freed *next;
} freed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static freed *free_blocks[size_count];
// What is left of the newest chunk.
static char *chunk;
static size_t chunk_left;
// Bytes of the large blocks in `free_blocks`, and of all that was taken from the system.
static size_t kept, taken;

typedef struct {
    int number;  // -1 above the largest
    size_t bytes;
} block_size;

static block_size size_of(size_t bytes) {
    if (bytes < 1) { bytes = 1; }
    if (bytes <= 512) { return (block_size){(int)((bytes + 63) / 64) - 1, (bytes + 63) / 64 * 64}; }
    if (bytes > largest_kept) { return (block_size){-1, (bytes + 4095) / 4096 * 4096}; }
    const int power = 63 - __builtin_clzll((unsigned long long)(bytes - 1));
    const size_t base = (size_t)1 << power, step = base / 4;
    const size_t part = (bytes - 1 - base) / step;
    return (block_size){8 + (power - 9) * 4 + (int)part, base + (part + 1) * step};
}

// Called with the lock held.
static void *map(size_t bytes) {
    void *const start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) { return NULL; }
    cscx_forbid_dump_of(start, bytes);
    taken += bytes;
    return start;
}

void *cscx_secret_create(size_t bytes) {
    if (bytes > SIZE_MAX / 2) { return NULL; }
    const block_size size = size_of(bytes);
    void *result = NULL;
    pthread_mutex_lock(&lock);
    if (size.number >= 0 && free_blocks[size.number]) {
        freed *const block = free_blocks[size.number];
        free_blocks[size.number] = block->next;
        block->next = NULL;
        if (size.bytes > largest_in_chunk) { kept -= size.bytes; }
        result = block;
    } else if (size.bytes > largest_in_chunk) {
        result = map(size.bytes);
    } else {
        if (chunk_left < size.bytes) {
            // What is left of the chunk before is lost: less than one block in each chunk.
            chunk = map(chunk_bytes);
            chunk_left = chunk ? chunk_bytes : 0;
        }
        if (chunk) {
            result = chunk;
            chunk += size.bytes;
            chunk_left -= size.bytes;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

void cscx_secret_free(void *start, size_t bytes) {
    if (!start) { return; }
    cscx_wipe(start, bytes);
    const block_size size = size_of(bytes);
    pthread_mutex_lock(&lock);
    const int is_large = size.bytes > largest_in_chunk;
    if (size.number < 0 || (is_large && kept + size.bytes > most_kept)) {
        taken -= size.bytes;
        munmap(start, size.bytes);
    } else {
        if (is_large) { kept += size.bytes; }
        freed *const block = start;
        block->next = free_blocks[size.number];
        free_blocks[size.number] = block;
    }
    pthread_mutex_unlock(&lock);
}

size_t cscx_secret_bytes(void) {
    pthread_mutex_lock(&lock);
    const size_t result = taken;
    pthread_mutex_unlock(&lock);
    return result;
}

#endif
