#ifndef CSCX_POOL_H
#define CSCX_POOL_H

#include <stdbool.h>
#include <stddef.h>

/// A fixed set of threads that compute one job at a time and divide its indices among them.
///
/// Idle threads may spin for a while, watching for the next job, and then sleep; waking a thread that sleeps costs 15
/// to 25 µs.
typedef struct cscx_pool cscx_pool;

/// Makes a pool of `threads` threads, including the one that calls `cscx_pool_run`.
///
/// Returns NULL when there is no memory. Fewer threads than asked for may start when the system refuses more.
cscx_pool *cscx_pool_create(size_t threads, bool watches);

/// Ends the threads and frees the pool. No job may be running.
void cscx_pool_destroy(cscx_pool *pool);

/// The number of threads, including the calling one.
size_t cscx_pool_threads(const cscx_pool *pool);

/// Calls `body(context, i)` for every i in 0 ..< count, in any order and on any thread, and returns when all calls
/// are done.
///
/// Jobs of several callers run one after the other. A call from inside a body runs on the calling thread alone.
void cscx_pool_run(cscx_pool *pool, size_t count, void (*body)(void *context, size_t index), void *context);

#endif
