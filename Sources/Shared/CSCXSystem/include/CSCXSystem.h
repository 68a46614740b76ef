#ifndef CSCX_SYSTEM_H
#define CSCX_SYSTEM_H

// System calls of the link's transports. In C because Swift sees neither the CMSG_ macros that pass a descriptor, nor
// variadic calls (fcntl, syscall), nor C11 atomics in memory that another process maps; what differs between systems
// is in linux.c and darwin.c.
#include "processes.h"
#include "shared_memory.h"
#include "sockets.h"

#endif
