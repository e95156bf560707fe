/* guest: a pseudo-terminal of one's own: a session on it, its size, packet mode, its end
 * area: tty
 * source: pty(7), ioctl_tty(2) TIOCPKT, posix_openpt(3)
 * calls: openat, ioctl, setsid, read, write
 * broken-by: setsid:retval=1
 */
#include "check.h"
#include <termios.h>

int main(void) {
    char buf[64], *name;
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY)), one = 1;
    CHECK(0, grantpt(master) | unlockpt(master));
    HOLDS((name = ptsname(master)) != NULL);
    struct winsize w = {33, 77, 0, 0}, got;
    CHECK(0, ioctl(master, TIOCSWINSZ, &w));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        setsid();
        int slave = MUST(open(name, O_RDWR)); /* a session leader's first: its terminal */
        HOLDS(tcgetsid(slave) == getpid() && tcgetpgrp(slave) == getpid());
        close(MUST(open("/dev/tty", O_RDWR)));
        CHECK(0, ioctl(slave, TIOCGWINSZ, &got));
        HOLDS(got.ws_row == 33 && got.ws_col == 77);
        QUIET(5, write(slave, "ask?\n", 5));
        QUIET(7, read(slave, buf, sizeof buf)); /* quiet: the parent prints meanwhile */
        QUIET(0, memcmp(buf, "answer\n", 7));
        _exit(0);
    }
    QUIET(1, waits_for(master, POLLIN, 10000));
    CHECK(6, read(master, buf, sizeof buf));
    HOLDS(memcmp(buf, "ask?\r\n", 6) == 0);
    QUIET(7, write(master, "answer\n", 7));
    CHECK(8, read(master, buf, sizeof buf)); /* the echo */
    JOIN(pid);
    ERR(EIO, read(master, buf, sizeof buf)); /* no slave is open */
    int slave = MUST(open(name, O_RDWR | O_NOCTTY));
    CHECK(0, ioctl(master, TIOCPKT, &one));
    CHECK(0, tcflush(slave, TCIFLUSH));
    CHECK(1, read(master, buf, sizeof buf));
    CHECK(TIOCPKT_FLUSHREAD, buf[0]);
    QUIET(2, write(slave, "hi", 2));
    CHECK(3, read(master, buf, sizeof buf));
    HOLDS(buf[0] == TIOCPKT_DATA && buf[1] == 'h');
    close(master);
    CHECK(0, read(slave, buf, sizeof buf));
    ERR(EIO, write(slave, "x", 1));
    OK();
}
