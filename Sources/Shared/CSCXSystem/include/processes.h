#ifndef CSCX_PROCESSES_H
#define CSCX_PROCESSES_H

#include <stdint.h>

// Information about processes of this machine. Functions return 0 when the system does not tell.

/// The process at the other end of a connected Unix socket.
///
/// For a client that is the process that listened.
int cscx_peer_process(int socket);

/// The process that holds the other end of a TCP connection within this machine.
///
/// `own` and `other` are the port numbers of the two ends. It reads tables of the system, which takes milliseconds.
int cscx_loopback_process(int own, int other);

/// Has the system kill this process (SIGKILL) when the thread that started it ends, even after it has become another program
/// by exec; returns -1 where the system cannot do that, or when the parent has ended already.
///
/// `parent` is the number of the process that started this one.
int cscx_die_with_parent(int parent);

/// When a process was started: a number that differs from that of another process that later gets the same process
/// number.
uint64_t cscx_process_start(int process);

#endif
