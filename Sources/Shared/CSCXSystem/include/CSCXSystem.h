#ifndef CSCX_SYSTEM_H
#define CSCX_SYSTEM_H

// System calls that the transports of the link need, signals that end a server, and limits that the system sets for a
// process. They are in C because Swift can use neither the CMSG_ macros that pass a descriptor, nor variadic calls
// (fcntl, syscall), nor malloc_trim, nor C11 atomics in memory that another process maps, and because Swift code must
// not run inside a signal handler. What differs between systems is in linux.c and darwin.c.
#include "descriptors.h"
#include "dumps.h"
#include "heap.h"
#include "processes.h"
#include "shared_memory.h"
#include "signals.h"
#include "sockets.h"

#endif
