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
    // Nor do the programs that it starts get what it may do itself (scx-init lets it make directories in configfs): a worker
    // with that could have evidence signed for any key.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
#endif
}
