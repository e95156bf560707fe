/* guest: ^Z stops the program, the user's shell sees it, fg continues it where it was
 * area: tty
 * source: termios(3) VSUSP, signal(7) SIGTSTP, SIGCONT
 * calls: read, ioctl, rt_sigaction, kill|tgkill
 * needs: tty
 * on: first -> type "\032"
 * on: stopped -> fg
 * on: line -> type "typed\n"
 * on: handled -> type "\032"
 * on: stopped -> fg
 * on: whole -> type "end\n"
 * broken-by: read:retval=6:when=3
 */
#include "check.h"
#include <termios.h>

static volatile sig_atomic_t conts, stops;
static void cont(int sig) { conts += sig == SIGCONT; }
static void stop(int sig) {
    (void)sig;
    stops++;
    on_signal(SIGTSTP, SIG_DFL, 0); /* as an editor does: tidy up, then stop for good */
    sigset_t tstp;
    sigemptyset(&tstp);
    sigaddset(&tstp, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &tstp, NULL); /* stops here */
}

int main(void) {
    char buf[16];
    struct termios t;
    MUST(tcgetattr(0, &t));
    t.c_lflag |= NOFLSH; /* or what is printed right after the signal may be flushed with it */
    MUST(tcsetattr(0, TCSANOW, &t));
    on_signal(SIGCONT, cont, SA_RESTART);
    READY("first");
    while (!conts)
        waits_for(-1, 0, 5);
    CHECK(1, conts);
    HOLDS(tcgetpgrp(0) == getpgrp());
    READY("line");
    CHECK(6, read(0, buf, sizeof buf));
    on_signal(SIGTSTP, stop, SA_RESTART);
    READY("handled");
    while (conts < 2)
        waits_for(-1, 0, 5);
    CHECK(1, stops);
    READY("whole");
    CHECK(4, read(0, buf, sizeof buf));
    OK();
}
