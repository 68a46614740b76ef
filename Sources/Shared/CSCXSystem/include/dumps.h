#ifndef CSCX_DUMPS_H
#define CSCX_DUMPS_H

/// Keeps the memory of this process from being written to disk when it crashes, and from being read by other processes of the
/// same user. Programs that it starts write none either, and get none of the capabilities that were handed to it.
void cscx_forbid_dumps(void);

#endif
