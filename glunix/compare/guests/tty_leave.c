/* guest: who leaves its terminal (TIOCNOTTY, setsid) keeps descriptors of it, but has none any more
 * area: tty
 * source: tty_ioctl(4) TIOCNOTTY, TIOCSCTTY; setsid(2), tty(4)
 * calls: ioctl, openat, read, setsid, wait4
 * needs: tty
 * on: left -> type "left\n"
 * on: session -> type "own\n"
 * on: stays -> type "stays\n"
 * broken-by: ioctl:error=EIO:when=1
 * broken-by: setsid:error=EPERM
 */
#include "check.h"

static void has_none(void) {
    ERR(ENXIO, open("/dev/tty", O_RDWR));
    ERR(ENOTTY, ioctl(0, TIOCNOTTY));
    ERR(ENOTTY, tcgetpgrp(0));
    CHECK(1, isatty(0));
}

int main(void) {
    char buf[64];
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, ioctl(0, TIOCNOTTY));
        has_none();
        HOLDS(getsid(0) == getsid(getppid()));
        READY("left");
        CHECK(5, read(0, buf, sizeof buf));
        ERR(EPERM, ioctl(0, TIOCSCTTY, 0)); /* leads no session */
        _exit(0);
    }
    JOIN(pid);
    pid = MUST(fork());
    if (pid == 0) {
        MUST(setsid());
        has_none();
        READY("session");
        CHECK(4, read(0, buf, sizeof buf)); /* nobody stops it: job control is for its session */
        struct winsize w;
        CHECK(0, ioctl(0, TIOCGWINSZ, &w));
        CHECK(24, w.ws_row);
        _exit(0);
    }
    JOIN(pid);
    int own = MUST(open("/dev/tty", O_RDWR));
    HOLDS(tcgetpgrp(own) == getpgrp());
    READY("stays");
    CHECK(6, read(own, buf, sizeof buf));
    OK();
}
