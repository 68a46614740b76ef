#ifndef CSCX_SOCKETS_H
#define CSCX_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

// Stream sockets that never block and never raise SIGPIPE. Every function returns -errno when it fails. A signal
// interrupts only cscx_wait, which then returns 0 as when the time has passed.

/// The longest path of a Unix socket, in bytes.
size_t cscx_unix_path_limit(void);

/// Makes a listening socket at `path` with mode 0600. -EADDRINUSE: something is there already.
int cscx_unix_listen(const char *path);

/// Connects to the socket at `path`. -EAGAIN: the listener's queue is full.
int cscx_unix_connect(const char *path);

/// Takes the next connection. -EAGAIN: there is none.
int cscx_accept(int listener);

/// Makes two connected sockets.
int cscx_socket_pair(int ends[2]);

/// Gives a socket that was made elsewhere the properties described above.
int cscx_prepare_socket(int socket);

/// Sends as many bytes as can be sent now. -EAGAIN: none can.
long cscx_send(int socket, const void *bytes, size_t count);

/// Receives the bytes that are there; 0 at the end of the stream. -EAGAIN: there are none.
long cscx_receive(int socket, void *bytes, size_t count);

/// As cscx_receive, but does not remove the bytes from the stream.
long cscx_peek(int socket, void *bytes, size_t count);

/// Waits until the socket can be read (or written) or has ended, and returns 1; returns 0 when the time has passed.
int cscx_wait(int socket, int to_write, int milliseconds);

/// Ends both directions, which wakes all who wait on the socket; the descriptor stays open.
void cscx_shutdown(int socket);

void cscx_close(int descriptor);

/// What is at a path: `is_socket`, and numbers that distinguish it from any other file.
typedef struct {
    int is_socket;
    uint64_t device;
    uint64_t inode;
} cscx_file_identity;

int cscx_identify(const char *path, cscx_file_identity *identity);

/// As cscx_identify, for the file that a symbolic link leads to.
int cscx_identify_target(const char *path, cscx_file_identity *identity);

int cscx_unlink(const char *path);

/// Locks a directory against others that call this, until the descriptor is closed. -EWOULDBLOCK: another process has
/// the lock.
int cscx_lock_directory(const char *path);

#endif
