/* guest: O_ASYNC and F_SETSIG announce readiness of a descriptor by a signal to its owner
 * area: signals
 * source: fcntl(2) F_SETOWN, F_SETSIG, O_ASYNC
 * calls: fcntl, rt_sigtimedwait, socketpair, write
 * broken-by: fcntl:retval=0
 */
#include "check.h"
#include <sys/socket.h>

int main(void) {
    int s[2];
    sigset_t set;
    siginfo_t info;
    struct timespec limit = {10, 0}, zero = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGRTMIN + 4);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    CHECK(0, fcntl(s[0], F_SETOWN, getpid()));
    HOLDS(fcntl(s[0], F_GETOWN) == getpid());
    CHECK(0, fcntl(s[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    QUIET(1, write(s[1], "x", 1));
    CHECK(SIGIO, sigtimedwait(&set, &info, &limit));
    CHECK(0, fcntl(s[0], F_SETSIG, SIGRTMIN + 4));
    QUIET(1, write(s[1], "x", 1));
    HOLDS(sigtimedwait(&set, &info, &limit) == SIGRTMIN + 4);
    HOLDS(info.si_fd == s[0] && (info.si_band & POLLIN));
    CHECK(0, fcntl(s[0], F_SETFL, O_NONBLOCK));
    QUIET(1, write(s[1], "x", 1));
    ERR(EAGAIN, sigtimedwait(&set, &info, &zero));
    OK();
}
