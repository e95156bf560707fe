/* guest: the terminal's foreground group and session: reading, changing, and the errors
 * area: tty
 * source: tcgetpgrp(3), tcgetsid(3), ioctl_tty(2)
 * calls: ioctl, setpgid, getpgrp|getpgid, getsid
 * needs: tty
 * broken-by: ioctl:error=EIO:when=2+
 */
#include "check.h"
#include <termios.h>

int main(void) {
    signal(SIGTTOU, SIG_IGN);
    HOLDS(tcgetpgrp(0) == getpgrp() && tcgetpgrp(2) == getpgrp());
    HOLDS(tcgetsid(0) == getsid(0));
    pid_t pid = idle_child();
    MUST(setpgid(pid, pid));
    CHECK(0, tcsetpgrp(0, pid));
    HOLDS(tcgetpgrp(0) == pid && tcgetpgrp(1) == pid);
    CHECK(0, tcsetpgrp(0, getpgrp()));
    HOLDS(tcgetpgrp(0) == getpgrp());
    MUST(kill(pid, SIGKILL));
    status_of(pid);
    ERR(ESRCH, tcsetpgrp(0, pid));
    ERR(EINVAL, tcsetpgrp(0, -1));
    int p[2];
    MUST(pipe(p));
    ERR(ENOTTY, tcgetpgrp(p[0]));
    ERR(ENOTTY, tcsetpgrp(p[0], getpgrp()));
    ERR(EBADF, tcgetpgrp(-1));
    pid = MUST(fork());
    if (pid == 0) { /* of another session: it is no longer this process's terminal */
        MUST(setsid());
        ERR(ENOTTY, tcgetpgrp(0));
        ERR(ENOTTY, tcsetpgrp(0, getpgrp()));
        ERR(ENOTTY, tcgetsid(0));
        CHECK(1, isatty(0));
        ERR(ENXIO, open("/dev/tty", O_RDWR));
        pid_t other = MUST(fork());
        if (other == 0)
            _exit(0);
        JOIN(other);
        _exit(0);
    }
    JOIN(pid);
    OK();
}
