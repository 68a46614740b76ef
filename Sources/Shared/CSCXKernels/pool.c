#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// How long an idle thread spins, watching for the next job, before it sleeps: about 500 µs.
//
// Between two looks it pauses, and after a number of pauses it yields its core to any thread that is ready to run. So
// when the other side of a link on the same machine wakes up, it gets that core at once and need not wait for an idle
// core to start.
enum { pauses_before_yield = 32, yields_before_sleep = 500 };

// How threads claim indices of a job: the high half of `ticket` is the job's generation, its number, and the low half
// is the next index that nobody has claimed. A thread claims an index by increasing the ticket with a
// compare-and-swap. A thread that comes late, when its job is over, finds another generation or the value `closed`
// and claims nothing.
static const uint64_t closed = UINT32_MAX;

struct cscx_pool {
    _Atomic uint64_t ticket;
    _Atomic size_t finished;
    _Atomic size_t count;
    _Atomic(void *) context;
    void (*_Atomic body)(void *, size_t);

    _Atomic bool stopping;
    _Atomic size_t sleepers;
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    pthread_mutex_t turn;

    bool watches;
    size_t started;
    pthread_t threads[];
};

static _Thread_local bool inside;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void wait_briefly(int turn) {
    if (turn % pauses_before_yield == pauses_before_yield - 1) { sched_yield(); } else { pause_briefly(); }
}

// Computes indices of the job of `generation` until none is left.
static void work(cscx_pool *pool, uint64_t generation) {
    inside = true;
    for (;;) {
        uint64_t ticket = atomic_load(&pool->ticket);
        // The count is read before the claim: if the claim succeeds, the job has not changed since.
        const size_t count = atomic_load(&pool->count);
        void *const context = atomic_load(&pool->context);
        void (*const body)(void *, size_t) = atomic_load(&pool->body);
        const uint64_t index = ticket & UINT32_MAX;
        if (ticket >> 32 != generation || index == closed || index >= count) { break; }
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) { continue; }
        body(context, index);
        atomic_fetch_add(&pool->finished, 1);
    }
    inside = false;
}

static void *thread_main(void *argument) {
    cscx_pool *const pool = argument;
    uint64_t seen = 0;
    for (;;) {
        uint64_t ticket = 0;
        bool found = false;
        for (int i = 0; pool->watches && i < yields_before_sleep * pauses_before_yield && !found; i++) {
            ticket = atomic_load(&pool->ticket);
            found = (ticket >> 32 != seen && (ticket & UINT32_MAX) != closed) || atomic_load(&pool->stopping);
            if (!found) { wait_briefly(i); }
        }
        if (!found) {
            pthread_mutex_lock(&pool->sleep);
            atomic_fetch_add(&pool->sleepers, 1);
            for (;;) {
                ticket = atomic_load(&pool->ticket);
                if ((ticket >> 32 != seen && (ticket & UINT32_MAX) != closed) || atomic_load(&pool->stopping)) { break; }
                pthread_cond_wait(&pool->wake, &pool->sleep);
            }
            atomic_fetch_sub(&pool->sleepers, 1);
            pthread_mutex_unlock(&pool->sleep);
        }
        if (atomic_load(&pool->stopping)) { return NULL; }
        seen = ticket >> 32;
        work(pool, seen);
    }
}

static void wake_sleepers(cscx_pool *pool) {
    if (atomic_load(&pool->sleepers) == 0) { return; }
    pthread_mutex_lock(&pool->sleep);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
}

cscx_pool *cscx_pool_create(size_t threads, bool watches) {
    const size_t extra = threads > 1 ? threads - 1 : 0;
    cscx_pool *const pool = calloc(1, sizeof(cscx_pool) + extra * sizeof(pthread_t));
    if (!pool) { return NULL; }
    pool->watches = watches;
    pthread_mutex_init(&pool->sleep, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_mutex_init(&pool->turn, NULL);
    atomic_store(&pool->ticket, closed);
    while (pool->started < extra
           && pthread_create(&pool->threads[pool->started], NULL, thread_main, pool) == 0) {
        pool->started++;
    }
    return pool;
}

void cscx_pool_destroy(cscx_pool *pool) {
    atomic_store(&pool->stopping, true);
    wake_sleepers(pool);
    for (size_t i = 0; i < pool->started; i++) { pthread_join(pool->threads[i], NULL); }
    pthread_mutex_destroy(&pool->sleep);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->turn);
    free(pool);
}

size_t cscx_pool_threads(const cscx_pool *pool) { return pool->started + 1; }

void cscx_pool_run(cscx_pool *pool, size_t count, void (*body)(void *context, size_t index), void *context) {
    if (inside || count <= 1 || pool->started == 0 || count >= closed) {
        for (size_t i = 0; i < count; i++) { body(context, i); }
        return;
    }
    pthread_mutex_lock(&pool->turn);
    // Close the ticket of the last job before the job changes, since a late thread may still read it.
    const uint64_t generation = ((atomic_load(&pool->ticket) >> 32) + 1) & UINT32_MAX;
    atomic_store(&pool->ticket, generation << 32 | closed);
    atomic_store(&pool->finished, 0);
    atomic_store(&pool->count, count);
    atomic_store(&pool->context, context);
    atomic_store(&pool->body, body);
    atomic_store(&pool->ticket, generation << 32);
    wake_sleepers(pool);
    work(pool, generation);
    // A thread that computes the last indices may have been taken off its core and need this one, so yield.
    for (int i = 0; atomic_load(&pool->finished) < count; i = (i + 1) % pauses_before_yield) { wait_briefly(i); }
    pthread_mutex_unlock(&pool->turn);
}
