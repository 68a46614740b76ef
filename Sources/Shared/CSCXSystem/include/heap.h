#ifndef CSCX_HEAP_H
#define CSCX_HEAP_H

/// Gives memory that is free, but held by the allocator, back to the system; does nothing where the allocator has no way.
void cscx_trim_heap(void);

#endif
