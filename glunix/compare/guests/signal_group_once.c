/* guest: a signal to the program's whole group reaches it once
 * area: signals
 * source: kill(2)
 * calls: rt_sigaction, rt_sigsuspend
 * on: group -> group USR1
 * on: single -> signal USR2
 * broken-by: rt_sigsuspend:signal=USR1:when=2
 */
#include "check.h"

static volatile sig_atomic_t ones, twos;
static void take(int sig) { sig == SIGUSR1 ? ones++ : twos++; }

int main(void) {
    sigset_t both, none;
    sigemptyset(&none);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &both, NULL));
    on_signal(SIGUSR2, take, 0);
    on_signal(SIGUSR1, take, 0);
    READY("group");
    while (!ones)
        sigsuspend(&none);
    READY("single");
    while (!twos)
        sigsuspend(&none);
    CHECK(1, ones);
    OK();
}
