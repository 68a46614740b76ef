#include "CSCXCoverage.h"

#include <string.h>

// Branches beyond these share counters with others.
enum { most = 1 << 20 };

static uint8_t counters[most];
static uint8_t seen[most];
static uint32_t branches;

// Called by each module when it is loaded.
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop) {
    if (start == stop || *start != 0) { return; }
    for (uint32_t *guard = start; guard < stop; guard++) { *guard = ++branches; }
}

// Called at each branch, by any thread. Counts that two threads lose do not matter.
void __sanitizer_cov_trace_pc_guard(uint32_t *guard) {
    uint8_t *counter = &counters[*guard % most];
    if (*counter < 255) { ++*counter; }
}

uint32_t cscx_coverage_branches(void) { return branches; }

static size_t used(void) { return branches + 1 < most ? branches + 1 : most; }

void cscx_coverage_begin(void) { memset(counters, 0, used()); }

uint32_t cscx_coverage_end(void) {
    uint32_t found = 0;
    const size_t count = used();
    for (size_t i = 0; i < count; i++) {
        if (counters[i] == 0) { continue; }
        // The highest bit of the count.
        const uint8_t size = (uint8_t)(1u << (31 - __builtin_clz(counters[i])));
        if (size > seen[i]) {
            seen[i] = size;
            found++;
        }
    }
    return found;
}
