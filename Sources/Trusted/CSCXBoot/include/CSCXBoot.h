#ifndef CSCX_BOOT_H
#define CSCX_BOOT_H

#include <stdint.h>

// System calls of the first process of a machine, for scx-init. They are in C because Swift cannot use variadic calls
// (ioctl, prctl, syscall) and unions, and because only calls that are safe after fork may stand between fork and exec.
// Linux alone. Functions return 0, or -errno when they fail. Addresses of IPv4 are in network order.

/// Switches the machine off; in a namespace of processes it ends that namespace. Returns only when it fails.
int cscx_boot_power_off(void);

/// Has the keys Ctrl-Alt-Del send SIGINT to this process, where they would restart the machine at once.
int cscx_boot_take_keys(void);

/// Mounts a file system that programs cannot be started from, with neither devices nor other users' rights; `devices` is 1
/// for the one that holds devices.
int cscx_boot_mount(const char *kind, const char *place, int devices, const char *options);

/// Hands an open file to the kernel as a module.
int cscx_boot_load_module(int file);

/// Switches a network interface on.
int cscx_boot_raise(const char *interface);

/// The address that an interface has; 0 when it has none.
uint32_t cscx_boot_address(const char *interface);

/// Gives an interface an address.
int cscx_boot_set_address(const char *interface, uint32_t address, uint32_t mask);

/// Sends what is for other networks to `gateway`.
int cscx_boot_set_gateway(uint32_t gateway);

/// Starts a program as another user, with no more capabilities than the bits of `capabilities` say and no way to get others.
///
/// Core files are off, and signals are as the system starts programs with. What fails after the fork is one line on the
/// standard error output, and status 126 of the child.
///
/// Returns the child's number, or -errno.
int cscx_boot_start(
    const char *program, char *const *arguments, char *const *environment, uint32_t user, uint64_t capabilities);

/// Blocks the signals that cscx_boot_wait waits for.
void cscx_boot_block_signals(void);

/// Waits until a child has ended and returns its number, with its status as of waitpid; returns 0 when SIGTERM or SIGINT came.
int cscx_boot_wait(int *status);

#endif
