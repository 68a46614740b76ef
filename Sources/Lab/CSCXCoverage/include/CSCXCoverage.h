#ifndef CSCX_COVERAGE_H
#define CSCX_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

// Which branches of a program were taken, where it was built with `-sanitize-coverage=edge,trace-pc-guard`. In any other
// build nothing is counted.

/// The number of branches that are counted; 0 in a build without coverage.
uint32_t cscx_coverage_branches(void);

/// Forgets what was counted.
void cscx_coverage_begin(void);

/// Adds what was counted since the beginning to what was ever seen: a branch is new when it was taken for the first time, or
/// twice, four times, eight times as often as ever before.
///
/// Returns how many branches were new.
uint32_t cscx_coverage_end(void);

#endif
