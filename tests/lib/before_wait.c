/*
 * A library that is loaded with a server (LD_PRELOAD). Once, it sends the server SIGTERM when that is
 * about to wait for a client: after its last look whether a signal has come, and before the kernel
 * knows that it waits. From outside, this moment cannot be hit. It does so when the file that the
 * environment names, in BEFORE_WAIT, is there, and the server has closed a connection since.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static bool closed, sent;

static void about_to_wait(void)
{
    static const char message[] = "before_wait: SIGTERM comes now\n";
    if (!closed || sent) return;
    int error = errno;
    sent = true;
    if (write(STDERR_FILENO, message, strlen(message)) > 0) kill(getpid(), SIGTERM);
    errno = error;
}

static void about_to_close(void)
{
    int error = errno;
    const char *file = getenv("BEFORE_WAIT");
    if (file != NULL && access(file, F_OK) == 0) closed = true;
    errno = error;
}

/* Finds the function of the C library of which ours has the name. */
static void find(const char *name, void *function)
{
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(function, &address, sizeof address);
}

/* Defines a function that does something first, and then the same as the one of the C library. */
#define BEFORE(name, parameters, arguments, action)                                                \
    int name parameters                                                                            \
    {                                                                                              \
        int(*function) parameters;                                                                 \
        find(#name, &function);                                                                    \
        action;                                                                                    \
        return function arguments;                                                                 \
    }

BEFORE(close, (int fd), (fd), about_to_close())
BEFORE(accept, (int fd, void *address, void *length), (fd, address, length), about_to_wait())
BEFORE(accept4, (int fd, void *address, void *length, int flags), (fd, address, length, flags),
       about_to_wait())
/* With a time of 0, poll() does not wait. */
BEFORE(poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms),
       if (ms != 0) about_to_wait())
BEFORE(ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *time, const sigset_t *set),
       (fds, count, time, set), about_to_wait())
BEFORE(select, (int count, fd_set *in, fd_set *out, fd_set *errors, struct timeval *time),
       (count, in, out, errors, time), about_to_wait())
BEFORE(pselect,
       (int count, fd_set *in, fd_set *out, fd_set *errors, const struct timespec *time,
        const sigset_t *set),
       (count, in, out, errors, time, set), about_to_wait())
BEFORE(epoll_wait, (int fd, struct epoll_event *events, int count, int ms), (fd, events, count, ms),
       about_to_wait())
BEFORE(epoll_pwait, (int fd, struct epoll_event *events, int count, int ms, const sigset_t *set),
       (fd, events, count, ms, set), about_to_wait())
/* What glibc has instead of poll() and ppoll() where it knows how long the list is. */
BEFORE(__poll_chk, (struct pollfd * fds, nfds_t count, int ms, size_t size), (fds, count, ms, size),
       if (ms != 0) about_to_wait())
BEFORE(__ppoll_chk,
       (struct pollfd * fds, nfds_t count, const struct timespec *time, const sigset_t *set,
        size_t size),
       (fds, count, time, set, size), about_to_wait())
