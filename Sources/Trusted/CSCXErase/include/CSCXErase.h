#ifndef CSCX_ERASE_H
#define CSCX_ERASE_H

/// Whether this process overwrites all memory with zeros when it is freed, whichever library frees it.
///
/// A program that contains this module does so where the C library is glibc and no sanitizer replaces its allocator. Then
/// texts and tokens of strings, arrays and buffers that nobody refers to any more are no longer in the process's memory.
/// What lies on stacks and in registers is not covered.
int cscx_erases_freed_memory(void);

#endif
