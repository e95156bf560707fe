/* guest: sigwaitinfo and sigtimedwait take pending signals without a handler
 * area: signals
 * source: sigwaitinfo(2)
 * calls: rt_sigtimedwait, rt_sigprocmask, kill
 * broken-by: rt_sigtimedwait:retval=12
 */
#include "check.h"

int main(void) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    struct timespec zero = {0, 0}, short_time = {0, 20000000}, bad = {0, -1};
    ERR(EAGAIN, sigtimedwait(&set, &info, &zero));
    long start = now_ms();
    ERR(EAGAIN, sigtimedwait(&set, &info, &short_time));
    HOLDS(now_ms() - start >= 20);
    ERR(EINVAL, sigtimedwait(&set, &info, &bad));
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        MUST(kill(parent, SIGUSR1));
        _exit(3);
    }
    CHECK(SIGUSR1, sigwaitinfo(&set, &info));
    HOLDS(info.si_pid == pid && info.si_code == SI_USER);
    CHECK(SIGCHLD, sigwaitinfo(&set, &info));
    HOLDS(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 3);
    status_of(pid);
    int sig;
    MUST(kill(getpid(), SIGUSR1));
    CHECK(0, sigwait(&set, &sig));
    CHECK(SIGUSR1, sig);
    OK();
}
