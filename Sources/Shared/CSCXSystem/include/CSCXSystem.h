#ifndef CSCX_SYSTEM_H
#define CSCX_SYSTEM_H

// System calls of the link's transports, signals that end a server, and what the system lets a process have. In C
// because Swift sees neither the CMSG_ macros that pass a descriptor, nor variadic calls (fcntl, syscall), nor
// malloc_trim, nor C11 atomics in memory that another process maps, and must not run inside of a signal's handler; what
// differs between systems is in linux.c and darwin.c.
#include "descriptors.h"
#include "dumps.h"
#include "heap.h"
#include "processes.h"
#include "shared_memory.h"
#include "signals.h"
#include "sockets.h"

#endif
