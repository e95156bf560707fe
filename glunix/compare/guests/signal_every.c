/* guest: each of the signals 1 to 64 that can be handled is, sent by kill and by sigqueue
 * area: signals
 * source: signal(7), sigqueue(3)
 * calls: rt_sigaction, kill, rt_sigqueueinfo
 * broken-by: kill:retval=0:when=30
 */
#include "check.h"
static volatile sig_atomic_t last;
static void take(int sig) { last = sig; }

int main(void) {
    int handled = 0;
    for (int sig = 1; sig <= 64; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33) continue;
        on_signal(sig, take, 0);
        last = 0;
        QUIET(0, kill(getpid(), sig));
        QUIET(sig, last);
        last = 0;
        QUIET(0, sigqueue(getpid(), sig, (union sigval){.sival_int = sig}));
        QUIET(sig, last);
        handled++;
    }
    CHECK(60, handled);
    OK();
}
