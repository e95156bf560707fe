/* What every C guest uses: checks that print one deterministic line each.
 *
 * CHECK(want, call)        call gives want; prints "call = want"
 * ERR(ENAME, call)         call gives -1 and errno ENAME; prints "call: ENAME"
 * TEXT(want, buf, n)       the n bytes at buf are the string want
 * HOLDS(condition)         prints "condition"
 * MUST(call)               set-up: gives its value, which may not be -1; prints nothing
 * READY(word)              tells the runner's script
 * OK()                     all that was checked holds
 * A failure prints "expected ... got ..." and exits 1, in children too: parents use JOIN(pid).
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where messages go: stdout, or stderr in guests whose stdout is what they check. */
static FILE *check_out;

__attribute__((constructor)) static void check_begin(void) {
    check_out = stdout;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    prctl(PR_SET_NAME, "guest"); /* in a trace: what the loader did ends here */
}

__attribute__((unused, noreturn, format(printf, 2, 3)))
static void check_failed(int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(check_out, "line %d: ", line);
    vfprintf(check_out, format, arguments);
    fprintf(check_out, "\n");
    va_end(arguments);
    exit(1);
}

#define SAY(...) fprintf(check_out, __VA_ARGS__), fputc('\n', check_out)
#define READY(word) SAY("ready %s", word)
#define OK() return SAY("ok"), 0

#define QUIET(want, call)                                                                          \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call), want_ = (long)(want);                                            \
        if (got_ != want_)                                                                         \
            check_failed(__LINE__, "%s: expected %ld (%s), got %ld (%s)", #call, want_, #want,     \
                         got_, strerrorname_np(errno));                                            \
    } while (0)
#define CHECK(want, call)                                                                          \
    do {                                                                                           \
        QUIET(want, call);                                                                         \
        SAY("%s = %s", #call, #want);                                                              \
    } while (0)
#define ERR(want, call)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        int error_ = errno;                                                                        \
        if (got_ != -1 || error_ != want)                                                          \
            check_failed(__LINE__, "%s: expected -1 and %s, got %ld and %s", #call, #want, got_,   \
                         strerrorname_np(error_));                                                 \
        SAY("%s: %s", #call, #want);                                                               \
    } while (0)
#define TEXT(want, buf, n)                                                                         \
    do {                                                                                           \
        size_t n_ = (size_t)(n);                                                                   \
        if (n_ != sizeof(want) - 1 || memcmp(want, buf, n_) != 0)                                  \
            check_failed(__LINE__, "%s: expected \"%s\", got \"%.*s\" (%zu bytes)", #buf, want,    \
                         (int)n_, (const char *)(buf), n_);                                        \
        SAY("%s is %s", #buf, #want);                                                              \
    } while (0)
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__LINE__, "expected %s, got that it does not hold", #condition);          \
        SAY("%s", #condition);                                                                     \
    } while (0)
#define MUST(call)                                                                                 \
    ({                                                                                             \
        __typeof__(call) value_ = (call);                                                          \
        if ((long)value_ == -1)                                                                    \
            check_failed(__LINE__, "%s: expected success, got %s", #call, strerrorname_np(errno)); \
        value_;                                                                                    \
    })

/* Waits for a child and gives its wait status. */
__attribute__((unused)) static int status_of(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            check_failed(__LINE__, "waitpid: expected a child, got %s", strerrorname_np(errno));
    return status;
}
#define JOIN(pid)                                                                                  \
    do {                                                                                           \
        int status_ = status_of(pid);                                                              \
        if (status_ != 0)                                                                          \
            check_failed(__LINE__, "%s: expected wait status 0, got %#x", #pid, status_);          \
    } while (0)

/* Forks a child that waits for signals, and dies with its parent when a check fails. */
__attribute__((unused)) static pid_t idle_child(void) {
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    return pid;
}
__attribute__((unused)) static long now_ms(void) {
    struct timespec t;
    MUST(clock_gettime(CLOCK_MONOTONIC, &t));
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
/* 1 when fd has one of events within ms milliseconds, whatever signals come meanwhile. */
__attribute__((unused)) static int waits_for(int fd, short events, int ms) {
    struct pollfd p = {fd, events, 0};
    long end = now_ms() + ms;
    int n;
    while ((n = poll(&p, 1, ms)) < 0 && errno == EINTR)
        ms = end > now_ms() ? (int)(end - now_ms()) : 0;
    return n;
}
/* Waits for one byte on fd (another process's go-ahead), at most 10 s. */
__attribute__((unused)) static void take_byte(int fd) {
    char byte;
    if (waits_for(fd, POLLIN, 10000) != 1 || read(fd, &byte, 1) != 1)
        check_failed(__LINE__, "expected a byte on a pipe, got none");
}
__attribute__((unused)) static void give_byte(int fd) {
    if (write(fd, "x", 1) != 1)
        check_failed(__LINE__, "expected to write a byte, got %s", strerrorname_np(errno));
}
/* A handler for sig without SA_RESTART unless flags say so. */
__attribute__((unused)) static void on_signal(int sig, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    MUST(sigaction(sig, &action, NULL));
}
/* SIGALRM every ms milliseconds (0: no more): repeated, so that none is lost before a call. */
__attribute__((unused)) static void ticks(int ms) {
    struct itimerval t = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
    MUST(setitimer(ITIMER_REAL, &t, NULL));
}
#endif
