/* guest: /proc and the calls agree on pid, parent, group and session
 * area: groups
 * source: proc(5) /proc/pid/stat
 * calls: getpid, getppid, getpgid, getsid, setpgid
 * broken-by: getsid:retval=1
 */
#include "check.h"

static void compare(pid_t pid, pid_t parent) {
    char name[64], buf[1024];
    int at, ppid, group, session;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    int fd = MUST(open(name, O_RDONLY));
    ssize_t n = MUST(read(fd, buf, sizeof buf - 1));
    close(fd);
    buf[n] = 0;
    QUIET(1, sscanf(buf, "%d", &at));
    QUIET(pid, at);
    QUIET(3, sscanf(strrchr(buf, ')') + 2, "%*c %d %d %d", &ppid, &group, &session));
    QUIET(parent, ppid);
    QUIET(getpgid(pid), group);
    QUIET(getsid(pid), session);
}

int main(void) {
    compare(getpid(), getppid());
    SAY("this process: the same");
    pid_t pid = idle_child();
    compare(pid, getpid());
    MUST(setpgid(pid, pid));
    compare(pid, getpid());
    SAY("a child: the same");
    HOLDS(getpgid(pid) == pid && getsid(pid) == getsid(0));
    MUST(kill(pid, SIGKILL));
    status_of(pid);
    pid_t me = getpid(), child = MUST(fork());
    if (child == 0) {
        compare(getpid(), me);
        HOLDS(getppid() == me && syscall(SYS_getpid) == getpid());
        _exit(0);
    }
    JOIN(child);
    OK();
}
