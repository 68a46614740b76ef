#if defined(__APPLE__)

// No memory can be sealed here, so a peer could end this process by truncating it. The link therefore stays on the
// socket.
#include "processes.h"
#include "shared_memory.h"

#include <errno.h>
#include <libproc.h>
#include <sys/socket.h>
#include <sys/un.h>

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

int cscx_peer_process(int socket) {
    pid_t peer = 0;
    socklen_t size = sizeof peer;
    return getsockopt(socket, SOL_LOCAL, LOCAL_PEERPID, &peer, &size) < 0 ? 0 : peer;
}

int cscx_loopback_process(int own, int other) { (void)own; (void)other; return 0; }

int cscx_die_with_parent(int parent) { (void)parent; return -1; }

uint64_t cscx_process_start(int process) {
    struct proc_bsdinfo info;
    if (proc_pidinfo(process, PROC_PIDTBSDINFO, 0, &info, sizeof info) != sizeof info) { return 0; }
    return info.pbi_start_tvsec * 1000000 + info.pbi_start_tvusec;
}

#endif
