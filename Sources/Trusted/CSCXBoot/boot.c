#define _GNU_SOURCE  // setresuid, setresgid

#include "CSCXBoot.h"

#ifdef __linux__

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// 0 or -errno of a call that returned -1 when it failed.
static int result(long value) { return value < 0 ? -errno : 0; }

int cscx_boot_power_off(void) {
    sync();
    return result(reboot(RB_POWER_OFF));
}

int cscx_boot_take_keys(void) { return result(reboot(RB_DISABLE_CAD)); }

int cscx_boot_mount(const char *kind, const char *place, int devices, const char *options) {
    const unsigned long flags = MS_NOSUID | MS_NOEXEC | (devices ? 0 : MS_NODEV);
    return result(mount(kind, place, kind, flags, options));
}

int cscx_boot_load_module(int file) { return result(syscall(SYS_finit_module, file, "", 0)); }

/// Asks something about an interface, through a socket that is there for nothing else.
static int ask(unsigned long what, void *request) {
    const int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) return -errno;
    const int answer = result(ioctl(handle, what, request));
    close(handle);
    return answer;
}

static struct ifreq named(const char *interface) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    return request;
}

static void put(struct sockaddr *place, uint32_t address) {
    struct sockaddr_in value = {.sin_family = AF_INET, .sin_addr.s_addr = address};
    memcpy(place, &value, sizeof value);
}

int cscx_boot_raise(const char *interface) {
    struct ifreq request = named(interface);
    const int answer = ask(SIOCGIFFLAGS, &request);
    if (answer < 0) return answer;
    request.ifr_flags |= IFF_UP;
    return ask(SIOCSIFFLAGS, &request);
}

uint32_t cscx_boot_address(const char *interface) {
    struct ifreq request = named(interface);
    struct sockaddr_in value;
    if (ask(SIOCGIFADDR, &request) < 0) return 0;
    memcpy(&value, &request.ifr_addr, sizeof value);
    return value.sin_addr.s_addr;
}

int cscx_boot_set_address(const char *interface, uint32_t address, uint32_t mask) {
    struct ifreq request = named(interface);
    put(&request.ifr_addr, address);
    const int answer = ask(SIOCSIFADDR, &request);
    if (answer < 0) return answer;
    request = named(interface);
    put(&request.ifr_netmask, mask);
    return ask(SIOCSIFNETMASK, &request);
}

int cscx_boot_set_gateway(uint32_t gateway) {
    struct rtentry route;
    memset(&route, 0, sizeof route);
    put(&route.rt_dst, 0);
    put(&route.rt_genmask, 0);
    put(&route.rt_gateway, gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    return ask(SIOCADDRT, &route);
}

/// Becomes `user`, whose capabilities are `capabilities` from now on; returns what failed.
static const char *become(uint32_t user, uint64_t capabilities) {
    for (int capability = 0; capability < 64; capability++) {
        if (capabilities >> capability & 1) continue;
        // The kernel knows fewer than 64: EINVAL ends them.
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno == EINVAL) break;
            return "give up capabilities";
        }
    }
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return "keep capabilities";
    if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0) {
        return "become another user";
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        const uint32_t bits = (uint32_t)(capabilities >> (32 * half));
        data[half].effective = data[half].permitted = data[half].inheritable = bits;
    }
    if (syscall(SYS_capset, &header, data) < 0) return "set capabilities";
    for (int capability = 0; capability < 64; capability++) {
        if (!(capabilities >> capability & 1)) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) return "hand on capabilities";
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return "forbid new rights";
    return NULL;
}

int cscx_boot_start(
    const char *program, char *const *arguments, char *const *environment, uint32_t user, uint64_t capabilities) {
    const pid_t child = fork();
    if (child != 0) return child < 0 ? -errno : child;
    const struct rlimit none = {0, 0};
    const char *failed = setrlimit(RLIMIT_CORE, &none) < 0 ? "switch core files off" : NULL;
    if (failed == NULL) failed = become(user, capabilities);
    if (failed == NULL) {
        sigset_t signals;
        sigemptyset(&signals);
        sigprocmask(SIG_SETMASK, &signals, NULL);
        execve(program, arguments, environment);
        failed = "be started";
    }
    dprintf(STDERR_FILENO, "scx-init: %s cannot %s: %s\n", program, failed, strerror(errno));
    _exit(126);
}

/// The signals that wake the first process.
static sigset_t waited_for(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

void cscx_boot_block_signals(void) {
    const sigset_t signals = waited_for();
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

int cscx_boot_wait(int *status) {
    const sigset_t signals = waited_for();
    for (;;) {
        // One SIGCHLD may stand for several children, so these are looked for first.
        const pid_t child = waitpid(-1, status, WNOHANG);
        if (child > 0) return child;
        if (child < 0 && errno == ECHILD) return -ECHILD;
        const int signal = sigwaitinfo(&signals, NULL);
        if (signal == SIGTERM || signal == SIGINT) return 0;
    }
}

#endif
