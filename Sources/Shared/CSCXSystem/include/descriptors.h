#ifndef CSCX_DESCRIPTORS_H
#define CSCX_DESCRIPTORS_H

/// Lets the process have so many descriptors open, or as many as the system lets it; fewer than it may have already change
/// nothing.
///
/// Returns how many it may have now, 0 where the system does not tell.
int cscx_allow_descriptors(int count);

#endif
