// Takes the place of glibc's free and realloc in the whole process, and erases each block before it is freed.
//
// mallopt(M_PERTURB) of glibc would do that too, but not for blocks that go to the cache of a thread (tcache), and these are
// nearly all small ones.

#include "CSCXErase.h"

#include <stdlib.h>  // defines __GLIBC__

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CSCX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CSCX_SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(CSCX_SANITIZED)

#include <malloc.h>
#include <stdint.h>
#include <string.h>

extern void __libc_free(void *start);
extern void *__libc_malloc(size_t bytes);
extern void *__libc_realloc(void *start, size_t bytes);

int cscx_erases_freed_memory(void) { return 1; }

// Whether the block was mapped by itself, so that the system takes its pages back when it is freed: a bit of the word before
// the block, which glibc has kept there since its first allocator (IS_MMAPPED).
static inline int is_mapped(const void *start) { return (((const size_t *)start)[-1] & 2) != 0; }

static inline void erase(void *start, size_t bytes) {
    memset(start, 0, bytes);
    __asm__ volatile("" : : "r"(start) : "memory");  // else the compiler may leave out what nobody reads
}

void free(void *start) {
    if (!start) { return; }
    if (!is_mapped(start)) { erase(start, malloc_usable_size(start)); }
    __libc_free(start);
}

void *realloc(void *start, size_t bytes) {
    if (!start) { return __libc_malloc(bytes); }
    if (bytes == 0) {
        free(start);
        return NULL;
    }
    // Mapped blocks are moved by changing the page table, so that nothing stays behind.
    if (is_mapped(start)) { return __libc_realloc(start, bytes); }
    const size_t room = malloc_usable_size(start);
    if (bytes <= room && bytes >= room / 2) { return start; }
    void *const moved = __libc_malloc(bytes);
    if (!moved) { return NULL; }
    memcpy(moved, start, bytes < room ? bytes : room);
    free(start);
    return moved;
}

#else

int cscx_erases_freed_memory(void) { return 0; }

#endif
