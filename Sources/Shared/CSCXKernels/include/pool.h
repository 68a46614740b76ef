#ifndef CSCX_POOL_H
#define CSCX_POOL_H

#include <stdbool.h>
#include <stddef.h>

/// A fixed set of threads that share the indices of one job at a time.
///
/// Idle threads may watch for the next job for a while, since a blocked wake-up costs 15 to 25 µs, and then sleep.
typedef struct cscx_pool cscx_pool;

/// Makes a pool of `threads` threads, the caller of `cscx_pool_run` counted as one of them.
///
/// Returns NULL when memory is short. Fewer threads than asked for may start when the system refuses more.
cscx_pool *cscx_pool_create(size_t threads, bool watches);

/// Ends the threads and frees the pool. No job may be running.
void cscx_pool_destroy(cscx_pool *pool);

/// Threads of the pool, the caller's included.
size_t cscx_pool_threads(const cscx_pool *pool);

/// Calls `body(context, i)` for every i in 0 ..< count, in any order and on any thread, and returns when all are done.
///
/// Callers on several threads take turns. A call from inside a body runs on the calling thread alone.
void cscx_pool_run(cscx_pool *pool, size_t count, void (*body)(void *context, size_t index), void *context);

#endif
