#include "dumps.h"

#include <sys/resource.h>
#ifdef __linux__
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>
#endif

void cscx_forbid_dumps(void) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifdef __linux__
    // Should a dump be written all the same, as by a debugger, it has no memory of its own or shared: no kind of mapping is
    // chosen. This comes before the next call, after which the file belongs to the system's administrator.
    const int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (filter >= 0) {
        // Without the file nothing is lost but this second line of defence.
        (void)!write(filter, "0", 1);
        close(filter);
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
