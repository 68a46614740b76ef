#ifndef CSCX_SHARED_MEMORY_H
#define CSCX_SHARED_MEMORY_H

#include <stddef.h>
#include <stdint.h>

// Memory that another process maps too and may change at any time. Functions return -errno when they fail, and
// -ENOSYS on systems that cannot seal memory.

/// Makes memory with a descriptor, whose size can never be changed.
int cscx_memory_create(size_t count);

/// Checks that `memory` has exactly `count` bytes, that its size can never change, and that reading it cannot fail.
///
/// Returns 0, -EPERM (not sealed), -EFBIG (another size) or -EINVAL (no such memory).
int cscx_memory_check(int memory, size_t count);

/// Maps the memory for reading and writing; NULL when that fails.
void *cscx_memory_map(int memory, size_t count);

void cscx_memory_unmap(void *memory, size_t count);

/// Sends `count` bytes together with a descriptor over a Unix socket.
long cscx_send_descriptor(int socket, const void *bytes, size_t count, int descriptor);

/// Receives bytes and the descriptor that came with them; the descriptor is -1 when there was none or more than one.
long cscx_receive_descriptor(int socket, void *bytes, size_t count, int *descriptor);

// Atomic access to one word. All processes see all stores and loads of these words in one order (C11 seq_cst).
uint64_t cscx_load64(const void *word);
void cscx_store64(void *word, uint64_t value);
uint32_t cscx_load32(const void *word);
void cscx_store32(void *word, uint32_t value);

/// Spins until a word is no longer `seen`, or the time has passed.
void cscx_spin64(const void *word, uint64_t seen, uint32_t nanoseconds);

/// Sleeps while a word is `value`, until it is woken or the time has passed; it may also wake for no reason.
void cscx_futex_wait(void *word, uint32_t value, uint32_t milliseconds);

/// Wakes all who sleep on the word, in whatever process.
void cscx_futex_wake(void *word);

#endif
