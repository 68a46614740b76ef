#ifndef CSCX_SIGNALS_H
#define CSCX_SIGNALS_H

/// Tells of SIGTERM and SIGINT: the first of them writes its number, a byte, to a pipe whose end for reading is returned; the
/// second ends the process at once with status 128 + its number, whatever its threads do. -errno when there is no pipe.
/// Called again, it returns the same pipe.
int cscx_watch_endings(void);

/// Lets the calling thread take these signals: threads of others may have blocked them.
void cscx_take_endings(void);

#endif
