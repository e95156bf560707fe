/* guest: signals sent to the program by its user reach it, one after the other
 * area: signals
 * source: kill(1), signal(7)
 * calls: rt_sigaction, rt_sigsuspend
 * on: usr1 -> signal USR1
 * on: usr2 -> signal USR2
 * on: winch -> signal WINCH
 * on: int -> signal INT
 * on: term -> group TERM
 * status: SIGTERM
 * broken-by: rt_sigsuspend:error=EINTR
 */
#include "check.h"

static volatile sig_atomic_t last;
static void take(int sig) { last = sig; }

static void wait_for(int sig, const char *word) {
    sigset_t none;
    sigemptyset(&none);
    on_signal(sig, take, 0);
    last = 0;
    READY(word);
    sigsuspend(&none);
    QUIET(sig, last);
    SAY("got %s", sigabbrev_np(sig));
}

int main(void) {
    sigset_t all;
    sigfillset(&all);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    wait_for(SIGUSR1, "usr1");
    wait_for(SIGUSR2, "usr2");
    wait_for(SIGWINCH, "winch");
    wait_for(SIGINT, "int");
    sigemptyset(&all);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    READY("term");
    waits_for(-1, 0, 10000);
    SAY("expected to be terminated, got on");
    return 1;
}
