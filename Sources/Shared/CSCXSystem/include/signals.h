#ifndef CSCX_SIGNALS_H
#define CSCX_SIGNALS_H

/// Handles SIGTERM and SIGINT. The first of these signals writes its number, one byte, to a pipe. The second ends the
/// process at once with status 128 + its number, whatever its threads are doing.
///
/// Returns the end of the pipe to read from, or -errno when the pipe cannot be made. Later calls return the same pipe.
int cscx_watch_endings(void);

/// Lets the calling thread receive these signals, since threads of libraries may have them blocked.
void cscx_take_endings(void);

/// Has SIGTERM, SIGINT and SIGHUP kill (SIGKILL) another process before they end this one. 0 for no process any more.
///
/// The calling thread receives these signals from then on.
void cscx_end_together(int process);

#endif
