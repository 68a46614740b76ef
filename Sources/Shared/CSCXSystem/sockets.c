#define _GNU_SOURCE  // accept4

#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  // There SO_NOSIGPIPE does it.
#endif

size_t cscx_unix_path_limit(void) { return sizeof(((struct sockaddr_un *)0)->sun_path) - 1; }

static int fail(int descriptor) {
    const int code = errno;
    close(descriptor);
    return -code;
}

static int address_of(const char *path, struct sockaddr_un *address) {
    const size_t length = strlen(path);
    if (length == 0 || length > cscx_unix_path_limit()) { return -ENAMETOOLONG; }
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

int cscx_prepare_socket(int socket) {
    const int flags = fcntl(socket, F_GETFL);
    if (flags < 0 || fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0) { return -errno; }
    if (fcntl(socket, F_SETFD, FD_CLOEXEC) < 0) { return -errno; }
#ifdef SO_NOSIGPIPE
    const int on = 1;
    if (setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) < 0) { return -errno; }
#endif
    return 0;
}

// A new socket, closed on exec from the first moment where the system can.
static int unix_socket(void) {
#ifdef SOCK_CLOEXEC
    const int result = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
#else
    const int result = socket(AF_UNIX, SOCK_STREAM, 0);
#endif
    if (result < 0) { return -errno; }
    const int prepared = cscx_prepare_socket(result);
    if (prepared < 0) { close(result); return prepared; }
    return result;
}

int cscx_unix_listen(const char *path) {
    struct sockaddr_un address;
    const int wrong = address_of(path, &address);
    if (wrong < 0) { return wrong; }
    const int listener = unix_socket();
    if (listener < 0) { return listener; }
    // Linux creates the file with the socket's mode, so nobody can connect before the chmod; on other systems fchmod
    // fails.
    (void)fchmod(listener, S_IRUSR | S_IWUSR);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) { return fail(listener); }
    if (chmod(path, S_IRUSR | S_IWUSR) < 0 || listen(listener, 128) < 0) {
        const int result = fail(listener);
        unlink(path);
        return result;
    }
    return listener;
}

int cscx_unix_connect(const char *path) {
    struct sockaddr_un address;
    const int wrong = address_of(path, &address);
    if (wrong < 0) { return wrong; }
    const int connection = unix_socket();
    if (connection < 0) { return connection; }
    int result = 0;
    do {
        result = connect(connection, (struct sockaddr *)&address, sizeof address);
    } while (result < 0 && errno == EINTR);
    if (result < 0) { return fail(connection); }
    return connection;
}

int cscx_accept(int listener) {
    int connection = 0;
    do {
#ifdef SOCK_CLOEXEC
        connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
#else
        connection = accept(listener, NULL, NULL);
#endif
    } while (connection < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (connection < 0) { return -errno; }
    const int prepared = cscx_prepare_socket(connection);
    if (prepared < 0) { close(connection); return prepared; }
    return connection;
}

int cscx_socket_pair(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) { return -errno; }
    for (int i = 0; i < 2; i++) {
        const int prepared = cscx_prepare_socket(ends[i]);
        if (prepared < 0) { close(ends[0]); close(ends[1]); return prepared; }
    }
    return 0;
}

long cscx_send(int socket, const void *bytes, size_t count) {
    long sent = 0;
    do { sent = send(socket, bytes, count, MSG_NOSIGNAL); } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static long receive(int socket, void *bytes, size_t count, int flags) {
    long received = 0;
    do { received = recv(socket, bytes, count, flags); } while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

long cscx_receive(int socket, void *bytes, size_t count) { return receive(socket, bytes, count, 0); }

long cscx_peek(int socket, void *bytes, size_t count) { return receive(socket, bytes, count, MSG_PEEK); }

int cscx_wait(int socket, int to_write, int milliseconds) {
    struct pollfd watched = { .fd = socket, .events = to_write ? POLLOUT : POLLIN };
    const int ready = poll(&watched, 1, milliseconds);
    if (ready < 0) { return errno == EINTR ? 0 : -errno; }
    return ready > 0;
}

void cscx_shutdown(int socket) { shutdown(socket, SHUT_RDWR); }

void cscx_close(int descriptor) { close(descriptor); }

static int identify(int code, const struct stat *status, cscx_file_identity *identity) {
    if (code < 0) { return -errno; }
    identity->is_socket = S_ISSOCK(status->st_mode);
    identity->device = (uint64_t)status->st_dev;
    identity->inode = (uint64_t)status->st_ino;
    return 0;
}

int cscx_identify(const char *path, cscx_file_identity *identity) {
    struct stat status;
    return identify(lstat(path, &status), &status, identity);
}

int cscx_identify_target(const char *path, cscx_file_identity *identity) {
    struct stat status;
    return identify(stat(path, &status), &status, identity);
}

int cscx_unlink(const char *path) { return unlink(path) < 0 ? -errno : 0; }

int cscx_lock_directory(const char *path) {
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) { return -errno; }
    if (flock(directory, LOCK_EX | LOCK_NB) < 0) { return fail(directory); }
    return directory;
}
