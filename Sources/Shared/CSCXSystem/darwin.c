#if defined(__APPLE__)

// No memory here can be sealed, so that a peer could end this process by truncating it: the link stays on the socket.
#include "shared_memory.h"

#include <errno.h>

int cscx_memory_create(size_t count) { (void)count; return -ENOSYS; }
int cscx_memory_check(int memory, size_t count) { (void)memory; (void)count; return -ENOSYS; }
void *cscx_memory_map(int memory, size_t count) { (void)memory; (void)count; return NULL; }
void cscx_memory_unmap(void *memory, size_t count) { (void)memory; (void)count; }

long cscx_send_descriptor(int socket, const void *bytes, size_t count, int descriptor) {
    (void)socket; (void)bytes; (void)count; (void)descriptor;
    return -ENOSYS;
}

long cscx_receive_descriptor(int socket, void *bytes, size_t count, int *descriptor) {
    (void)socket; (void)bytes; (void)count;
    *descriptor = -1;
    return -ENOSYS;
}

void cscx_futex_wait(void *word, uint32_t value, uint32_t milliseconds) {
    (void)word; (void)value; (void)milliseconds;
}

void cscx_futex_wake(void *word) { (void)word; }

#endif
