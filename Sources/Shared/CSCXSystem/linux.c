#if defined(__linux__)

#define _GNU_SOURCE
#include "processes.h"
#include "shared_memory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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
    // If the file could shrink, the peer could end this process: reading past the end of a file raises SIGBUS.
    if ((found & seals) != seals) { return -EPERM; }
    struct stat status;
    if (fstat(memory, &status) < 0) { return -EINVAL; }
    if (status.st_size < 0 || (uint64_t)status.st_size != count) { return -EFBIG; }
    // Huge pages raise SIGBUS too, when the peer punches a hole into the file and no other huge page is free.
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
        // The padding has room for a second descriptor, and every one that came must be kept or closed.
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

int cscx_peer_process(int socket) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) { return 0; }
    // It is 0 for a process that cannot be seen from this process's namespace.
    return peer.pid > 0 ? peer.pid : 0;
}

// The inode of the socket whose own port is `other` and whose peer's is `own`, in one of the system's two tables.
static unsigned long loopback_inode(const char *table, int own, int other) {
    FILE *const file = fopen(table, "re");
    if (!file) { return 0; }
    unsigned long found = 0;
    char line[512];
    while (!found && fgets(line, sizeof line, file)) {
        unsigned local = 0, remote = 0, state = 0;
        unsigned long inode = 0;
        const int fields = sscanf(
            line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%x %x %*x:%*x %*x:%*x %*x %*u %*d %lu", &local, &remote,
            &state, &inode);
        // 1: established.
        if (fields == 4 && state == 1 && (int)local == other && (int)remote == own) { found = inode; }
    }
    fclose(file);
    return found;
}

static int holds_socket(const char *process, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/fd", process);
    DIR *const folder = opendir(path);
    if (!folder) { return 0; }
    int found = 0;
    const struct dirent *entry = NULL;
    while (!found && (entry = readdir(folder))) {
        char target[64];
        const ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0) { continue; }
        target[length] = 0;
        found = strcmp(target, name) == 0;
    }
    closedir(folder);
    return found;
}

int cscx_loopback_process(int own, int other) {
    unsigned long inode = loopback_inode("/proc/net/tcp", own, other);
    if (!inode) { inode = loopback_inode("/proc/net/tcp6", own, other); }
    if (!inode) { return 0; }
    char name[48];
    snprintf(name, sizeof name, "socket:[%lu]", inode);
    DIR *const processes = opendir("/proc");
    if (!processes) { return 0; }
    int found = 0;
    const struct dirent *entry = NULL;
    while (!found && (entry = readdir(processes))) {
        if (!isdigit((unsigned char)entry->d_name[0]) || strlen(entry->d_name) > 16) { continue; }
        if (holds_socket(entry->d_name, name)) { found = atoi(entry->d_name); }
    }
    closedir(processes);
    return found;
}

int cscx_die_with_parent(int parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) { return -1; }
    return getppid() == parent ? 0 : -1;
}

uint64_t cscx_process_start(int process) {
    char text[1024];
    snprintf(text, sizeof text, "/proc/%d/stat", process);
    FILE *const file = fopen(text, "re");
    if (!file) { return 0; }
    const size_t count = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[count] = 0;
    // The second field is a name in brackets with anything in it; the start is the 22nd.
    const char *field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++) {
        field = strchr(field + 1, ' ');
    }
    return field ? strtoull(field, NULL, 10) : 0;
}

#endif
