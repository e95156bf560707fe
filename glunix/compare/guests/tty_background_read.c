/* guest: a background group that reads gets SIGTTIN and stops; ignored or blocked, EIO
 * area: tty
 * source: termios(3), signal(7) SIGTTIN, read(2) EIO
 * calls: read, setpgid, wait4, kill, ioctl
 * needs: tty
 * on: line -> type "for the child\n"
 * broken-by: wait4:retval=0:when=1
 */
#include "check.h"

int main(void) {
    int status;
    char buf[32];
    signal(SIGTTOU, SIG_IGN);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        MUST(setpgid(0, 0));
        ssize_t n = read(0, buf, sizeof buf); /* stops, and goes on when in the foreground */
        QUIET(14, n);
        QUIET(0, memcmp(buf, "for the child\n", 14));
        _exit(0);
    }
    setpgid(pid, pid);
    status = 0;
    HOLDS(waitpid(pid, &status, WUNTRACED) == pid);
    HOLDS(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    MUST(tcsetpgrp(0, pid));
    MUST(kill(-pid, SIGCONT));
    READY("line");
    JOIN(pid);
    MUST(tcsetpgrp(0, getpgrp()));
    pid = MUST(fork());
    if (pid == 0) {
        MUST(setpgid(0, 0));
        signal(SIGTTIN, SIG_IGN);
        ERR(EIO, read(0, buf, sizeof buf));
        signal(SIGTTIN, SIG_DFL);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTTIN);
        MUST(sigprocmask(SIG_BLOCK, &set, NULL));
        ERR(EIO, read(0, buf, sizeof buf));
        _exit(0);
    }
    JOIN(pid);
    OK();
}
