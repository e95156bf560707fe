/* guest: when the terminal goes away the program gets SIGHUP, reads end and writes fail
 * area: tty
 * source: tty_ioctl(4), POSIX.1-2017 11.1.10 Modem Disconnect
 * calls: read, write, rt_sigaction, poll
 * needs: tty
 * stderr: pipe
 * on: gone -> hangup
 * broken-by: write:retval=1:when=6
 */
#include "check.h"

static volatile sig_atomic_t hups;
static void hup(int sig) { hups += sig == SIGHUP; }

int main(void) {
    char buf[8];
    check_out = stderr;
    on_signal(SIGHUP, hup, SA_RESTART);
    on_signal(SIGCONT, SIG_IGN, SA_RESTART);
    READY("gone");
    /* A read that waits at that moment may end with 0 or EIO; once told, it is 0. */
    for (long end = now_ms() + 10000; !hups && now_ms() < end;)
        poll(NULL, 0, 5);
    HOLDS(hups >= 1);
    struct pollfd e = {0, POLLIN, 0};
    CHECK(1, poll(&e, 1, 10000));
    HOLDS((e.revents & POLLHUP) != 0);
    CHECK(0, read(0, buf, sizeof buf));
    ERR(EIO, write(1, "x", 1));
    OK();
}
