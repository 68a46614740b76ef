#if defined(__linux__)

#define _GNU_SOURCE
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

int cscx_memory_create(size_t count) {
    const int memory = memfd_create("scx-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0) { return -errno; }
    if (ftruncate(memory, (off_t)count) < 0 || fcntl(memory, F_ADD_SEALS, seals) < 0) {
        const int code = errno;
        close(memory);
        return -code;
    }
    return memory;
}

int cscx_memory_check(int memory, size_t count) {
    const int found = fcntl(memory, F_GET_SEALS);
    if (found < 0) { return -EINVAL; }
    // A file that could shrink would let the peer end this process: reading past its end raises SIGBUS.
    if ((found & seals) != seals) { return -EPERM; }
    struct stat status;
    if (fstat(memory, &status) < 0) { return -EINVAL; }
    if (status.st_size < 0 || (uint64_t)status.st_size != count) { return -EFBIG; }
    // Huge pages raise SIGBUS too, when the peer punches a hole and no other huge page is free.
    struct statfs system;
    if (fstatfs(memory, &system) < 0 || system.f_type != TMPFS_MAGIC) { return -EINVAL; }
    return 0;
}

void *cscx_memory_map(int memory, size_t count) {
    void *const result = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    return result == MAP_FAILED ? NULL : result;
}

void cscx_memory_unmap(void *memory, size_t count) { munmap(memory, count); }

// Room for one descriptor, aligned as the system wants it.
typedef union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
} control_buffer;

long cscx_send_descriptor(int socket, const void *bytes, size_t count, int descriptor) {
    control_buffer control;
    memset(&control, 0, sizeof control);
    struct iovec part = { .iov_base = (void *)bytes, .iov_len = count };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
    long sent = 0;
    do { sent = sendmsg(socket, &message, MSG_NOSIGNAL); } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

long cscx_receive_descriptor(int socket, void *bytes, size_t count, int *descriptor) {
    *descriptor = -1;
    control_buffer control;
    memset(&control, 0, sizeof control);
    struct iovec part = { .iov_base = bytes, .iov_len = count };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes,
    };
    long received = 0;
    do { received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); } while (received < 0 && errno == EINTR);
    if (received < 0) { return -errno; }
    int found = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) { continue; }
        // The padding leaves room for a second one: every descriptor that came must be kept or closed.
        const size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int one = -1;
            memcpy(&one, CMSG_DATA(head) + i * sizeof one, sizeof one);
            if (found++ == 0) { *descriptor = one; } else { close(one); }
        }
    }
    if (found != 1 || (message.msg_flags & MSG_CTRUNC)) {
        if (*descriptor >= 0) { close(*descriptor); }
        *descriptor = -1;
    }
    return received;
}

void cscx_futex_wait(void *word, uint32_t value, uint32_t milliseconds) {
    const struct timespec time = {
        .tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };
    syscall(SYS_futex, word, FUTEX_WAIT, value, &time, NULL, 0);
}

void cscx_futex_wake(void *word) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }

#endif
