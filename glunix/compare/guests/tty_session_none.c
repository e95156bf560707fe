/* guest: a new session has no terminal: /dev/tty is ENXIO though fd 0 is one
 * area: tty
 * source: setsid(2), tty(4) ENXIO
 * calls: setsid, openat, ioctl
 * needs: tty
 * broken-by: setsid:error=EPERM
 */
#include "check.h"
int main(void) {
    int tty = open("/dev/tty", O_RDWR);
    HOLDS(tty >= 0);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(setsid() == getpid());
        HOLDS(isatty(0));
        ERR(ENXIO, open("/dev/tty", O_RDWR));
        ERR(ENOTTY, tcgetpgrp(0));
        ERR(ENOTTY, tcgetsid(0));
        _exit(0);
    }
    JOIN(pid);
    HOLDS(open("/dev/tty", O_RDWR) > tty);
    OK();
}
