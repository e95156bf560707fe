/* guest: signals that the caller has blocked are blocked in the program, no others
 * area: signals
 * source: execve(2), sigprocmask(2)
 * calls: rt_sigprocmask, rt_sigpending
 * start: exec env --block-signal=USR2 --block-signal=WINCH "$@"
 * broken-by: rt_sigpending:error=EFAULT
 */
#include "check.h"
int main(void) {
    sigset_t now, waiting;
    CHECK(0, sigprocmask(SIG_BLOCK, NULL, &now));
    for (int sig = 1; sig <= 64; sig++)
        if (sigismember(&now, sig) == 1) SAY("%d is blocked", sig);
    HOLDS(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGWINCH) == 1);
    MUST(raise(SIGUSR2));
    CHECK(0, sigpending(&waiting));
    HOLDS(sigismember(&waiting, SIGUSR2) == 1);
    OK();
}
