/* guest: a dead child exists until it is waited for, then its pid is gone
 * area: waiting
 * source: wait(2) NOTES, proc(5)
 * calls: waitid, kill, wait4
 * broken-by: kill:error=ESRCH
 */
#include "check.h"

static int state(pid_t pid) {
    char name[64], buf[512], *end;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, buf, sizeof buf - 1);
    close(fd);
    buf[n > 0 ? n : 0] = 0;
    return (end = strrchr(buf, ')')) ? end[2] : 0;
}

int main(void) {
    siginfo_t info;
    pid_t pid = MUST(fork());
    if (pid == 0)
        _exit(0);
    MUST(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    CHECK('Z', state(pid));
    CHECK(0, kill(pid, 0));
    CHECK(0, kill(pid, SIGKILL));
    CHECK(0, status_of(pid));
    CHECK(0, state(pid));
    ERR(ESRCH, kill(pid, 0));
    OK();
}
