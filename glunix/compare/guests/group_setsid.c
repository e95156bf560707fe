/* guest: a new session leads itself and has no terminal; a leader cannot make another
 * area: groups
 * source: setsid(2), tty(4)
 * calls: setsid, getsid, getpgrp|getpgid, openat
 * broken-by: setsid:retval=1
 */
#include "check.h"

int main(void) {
    pid_t session = MUST(getsid(0)), group = getpgrp();
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(getsid(0) == session && getpgrp() == group);
        HOLDS(setsid() == getpid());
        HOLDS(getsid(0) == getpid() && getpgrp() == getpid());
        ERR(EPERM, setsid());
        ERR(ENXIO, open("/dev/tty", O_RDWR));
        pid_t inner = MUST(fork());
        if (inner == 0) {
            HOLDS(getsid(0) == getppid());
            CHECK(0, setpgid(0, 0));
            ERR(EPERM, setsid());
            _exit(0);
        }
        JOIN(inner);
        _exit(0);
    }
    JOIN(pid);
    ERR(ESRCH, getsid(0x3fffffff));
    HOLDS(getsid(0) == session);
    OK();
}
