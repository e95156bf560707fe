/* guest: waitid tells code and status, WNOWAIT leaves the child to be waited for again
 * area: waiting
 * source: waitid(2)
 * calls: waitid, pidfd_open
 * broken-by: waitid:retval=0
 */
#include "check.h"
#include <sys/resource.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int main(void) {
    siginfo_t info = {0};
    pid_t pid = MUST(fork());
    if (pid == 0)
        _exit(0x1234);
    CHECK(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    HOLDS(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_uid == getuid());
    CHECK(0x34, info.si_status);
    CHECK(0, waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    HOLDS(info.si_pid == pid);
    struct rusage usage;
    memset(&usage, 0xff, sizeof usage);
    CHECK(0, syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &usage));
    HOLDS(usage.ru_utime.tv_usec >= 0 && usage.ru_nswap == 0);
    ERR(ECHILD, waitid(P_PID, pid, &info, WEXITED));
    pid = idle_child();
    info.si_pid = -1;
    CHECK(0, waitid(P_PID, pid, &info, WEXITED | WNOHANG));
    CHECK(0, info.si_pid);
    int fd = MUST(syscall(SYS_pidfd_open, pid, 0));
    CHECK(0, waits_for(fd, POLLIN, 0));
    MUST(kill(pid, SIGUSR1));
    CHECK(1, waits_for(fd, POLLIN, 10000));
    CHECK(0, waitid((idtype_t)P_PIDFD, fd, &info, WEXITED));
    HOLDS(info.si_code == CLD_KILLED && info.si_status == SIGUSR1);
    ERR(EINVAL, waitid(P_PID, pid, &info, 0));
    ERR(ECHILD, waitid(P_PGID, 0x3ffffff, &info, WEXITED));
    OK();
}
