#include "shared_memory.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

uint64_t cscx_load64(const void *word) { return atomic_load((const _Atomic uint64_t *)word); }
void cscx_store64(void *word, uint64_t value) { atomic_store((_Atomic uint64_t *)word, value); }
uint32_t cscx_load32(const void *word) { return atomic_load((const _Atomic uint32_t *)word); }
void cscx_store32(void *word, uint32_t value) { atomic_store((_Atomic uint32_t *)word, value); }

static uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void cscx_spin64(const void *word, uint64_t seen, uint32_t nanoseconds) {
    const uint64_t end = nanoseconds_now() + nanoseconds;
    do {
        // A pause takes 10 to 50 ns, depending on the processor, so the clock is read about once a microsecond at
        // most.
        for (int i = 0; i < 16; i++) {
            if (cscx_load64(word) != seen) { return; }
            pause_briefly();
        }
        // The thread that computes the answer may be waiting for this core.
        sched_yield();
    } while (nanoseconds_now() < end);
}
