#define _GNU_SOURCE  // pipe2

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static int pipe_ends[2] = {-1, -1};
static atomic_int seen = 0;

// Calls nothing but what may be called inside of a signal's handler, needs no thread and takes no lock.
static void on_ending(int number) {
    if (atomic_exchange(&seen, 1)) { _exit(128 + number); }
    const int saved = errno;
    const unsigned char byte = (unsigned char)number;
    // A pipe that nobody ever wrote to has room for a byte.
    if (write(pipe_ends[1], &byte, 1) < 0) { _exit(128 + number); }
    errno = saved;
}

void cscx_take_endings(void) {
    sigset_t endings;
    sigemptyset(&endings);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &endings, NULL);
}

int cscx_watch_endings(void) {
    if (pipe_ends[0] >= 0) { return pipe_ends[0]; }
#if defined(__linux__)
    if (pipe2(pipe_ends, O_CLOEXEC) < 0) { return -errno; }
#else
    if (pipe(pipe_ends) < 0) { return -errno; }
    fcntl(pipe_ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(pipe_ends[1], F_SETFD, FD_CLOEXEC);
#endif
    struct sigaction action = {0};
    action.sa_handler = on_ending;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0) { return -errno; }
    return pipe_ends[0];
}

static atomic_int companion = 0;

static void on_common_ending(int number) {
    const int process = atomic_load(&companion);
    if (process > 0) { kill(process, SIGKILL); }
    // It is delivered once this handler returns, and then does what it would have done.
    signal(number, SIG_DFL);
    raise(number);
}

void cscx_end_together(int process) {
    atomic_store(&companion, process);
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t endings;
    sigemptyset(&endings);
    for (int i = 0; i < 3; i++) {
        signal(numbers[i], process > 0 ? on_common_ending : SIG_DFL);
        sigaddset(&endings, numbers[i]);
    }
    // A program that was started by a thread of a pool begins with that thread's mask, which may block them.
    pthread_sigmask(SIG_UNBLOCK, &endings, NULL);
}
