#ifndef CSCX_DESCRIPTORS_H
#define CSCX_DESCRIPTORS_H

/// Raises the number of descriptors that the process may have open to `count`, or to the most that the system allows; it
/// never lowers the number.
///
/// Returns how many it may have now, 0 when the system does not tell.
int cscx_allow_descriptors(int count);

#endif
