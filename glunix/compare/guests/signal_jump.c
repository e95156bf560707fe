/* guest: siglongjmp out of a handler restores the mask, longjmp does not
 * area: signals
 * source: sigsetjmp(3)
 * calls: rt_sigaction, rt_sigprocmask, kill|tgkill
 * broken-by: rt_sigprocmask:retval=0:when=2+
 */
#include "check.h"
#include <setjmp.h>

static sigjmp_buf back;
static volatile sig_atomic_t count;
static void jump(int sig) {
    (void)sig;
    count++;
    siglongjmp(back, 1);
}

static int blocked(void) {
    sigset_t now;
    MUST(sigprocmask(SIG_SETMASK, NULL, &now));
    return sigismember(&now, SIGUSR1);
}

int main(void) {
    on_signal(SIGUSR1, jump, 0);
    if (sigsetjmp(back, 1) == 0)
        kill(getpid(), SIGUSR1);
    CHECK(0, blocked());
    if (sigsetjmp(back, 1) == 0)
        kill(getpid(), SIGUSR1);
    CHECK(2, count);
    if (sigsetjmp(back, 0) == 0)
        kill(getpid(), SIGUSR1);
    CHECK(1, blocked());
    kill(getpid(), SIGUSR1);
    CHECK(3, count);
    OK();
}
