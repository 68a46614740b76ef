#include "descriptors.h"

#include <sys/resource.h>

int cscx_allow_descriptors(int count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) { return 0; }
    const rlim_t wanted = (rlim_t)count;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted) {
        struct rlimit more = limit;
        more.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) { limit = more; }
    }
    return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 1 << 30 ? 1 << 30 : (int)limit.rlim_cur;
}
