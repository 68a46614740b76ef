#ifndef CSCX_PROCESSES_H
#define CSCX_PROCESSES_H

#include <stdint.h>

// Processes of this machine. Functions return 0 where the system does not tell.

/// The process at the other end of a connected Unix socket: the one that listened, for a client.
int cscx_peer_process(int socket);

/// The process that holds the other end of a TCP connection of this machine with itself.
///
/// `own` and `other` are the port numbers of the two ends. Reads tables of the system: milliseconds.
int cscx_loopback_process(int own, int other);

/// A number that another process with the same process number does not have: when it was started.
uint64_t cscx_process_start(int process);

#endif
