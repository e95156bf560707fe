/* guest: signals that the caller ignores are ignored, all others are as by default
 * area: signals
 * source: execve(2), signal(7)
 * calls: rt_sigaction
 * start: trap '' PIPE XFSZ USR1 HUP QUIT
 * broken-by: rt_sigaction:error=EINVAL:when=6+
 */
#include "check.h"
int main(void) {
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction now;
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_DFL)
            SAY("%d %s", sig, now.sa_handler == SIG_IGN ? "ignored" : "handled");
    }
    struct sigaction seen;
    CHECK(0, sigaction(SIGPIPE, NULL, &seen));
    HOLDS(seen.sa_handler == SIG_IGN);
    CHECK(0, sigaction(SIGXFSZ, NULL, &seen));
    HOLDS(seen.sa_handler == SIG_IGN);
    OK();
}
