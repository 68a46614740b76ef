#ifndef CSCX_HEAP_H
#define CSCX_HEAP_H

/// Gives memory that is free but still held by the allocator back to the system; does nothing if the allocator cannot do
/// that.
void cscx_trim_heap(void);

#endif
