/* guest: setpgid's rules: own and children's groups, errors for others, leaders and after exec
 * area: groups
 * source: setpgid(2)
 * calls: setpgid, getpgid, getpgrp|getpgid, setsid, execve
 * broken-by: setpgid:retval=0
 */
#include "check.h"

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) { /* the child after its exec */
        give_byte(9);
        take_byte(8);
        return 0;
    }
    int up[2], down[2];
    pid_t pid = idle_child();
    CHECK(getpgrp(), getpgid(pid));
    CHECK(0, setpgid(pid, 0));
    HOLDS(getpgid(pid) == pid);
    CHECK(0, setpgid(pid, getpgrp()));
    CHECK(0, setpgid(pid, pid));
    pid_t second = idle_child();
    CHECK(0, setpgid(second, pid));
    HOLDS(getpgid(second) == pid);
    ERR(EINVAL, setpgid(second, -1));
    ERR(EPERM, setpgid(second, 0x3fffffff));
    ERR(ESRCH, setpgid(getppid(), 0));
    ERR(ESRCH, setpgid(0x3fffffff, 0));
    ERR(ESRCH, getpgid(0x3fffffff));
    MUST(kill(-pid, SIGKILL));
    CHECK(SIGKILL, status_of(pid));
    CHECK(SIGKILL, status_of(second));
    MUST(pipe(up));
    MUST(pipe(down));
    pid = MUST(fork());
    if (pid == 0) {
        MUST(dup2(up[1], 9));
        MUST(dup2(down[0], 8));
        execl("/proc/self/exe", "guest", "child", NULL);
        _exit(1);
    }
    take_byte(up[0]);
    ERR(EACCES, setpgid(pid, pid));
    give_byte(down[1]);
    JOIN(pid);
    pid = MUST(fork());
    if (pid == 0) {
        QUIET(getpid(), setsid());
        ERR(EPERM, setpgid(0, 0));
        give_byte(up[1]);
        take_byte(down[0]);
        _exit(0);
    }
    take_byte(up[0]);
    ERR(EPERM, setpgid(pid, pid));
    give_byte(down[1]);
    JOIN(pid);
    OK();
}
