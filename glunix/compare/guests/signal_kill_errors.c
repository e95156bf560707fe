/* guest: kill's errors, signal 0, and that a group's signal reaches the group
 * area: signals
 * source: kill(2)
 * calls: kill, setpgid, wait4, tgkill
 * broken-by: kill:retval=0
 */
#include "check.h"

int main(void) {
    pid_t pid = idle_child();
    CHECK(0, kill(pid, 0));
    ERR(EINVAL, kill(pid, 65));
    ERR(EINVAL, kill(pid, -1));
    CHECK(0, setpgid(pid, pid));
    CHECK(0, kill(-pid, 0));
    CHECK(0, kill(-pid, SIGTERM));
    int status = status_of(pid);
    CHECK(SIGTERM, WTERMSIG(status));
    ERR(ESRCH, kill(pid, 0));
    ERR(ESRCH, kill(-pid, SIGTERM));
    ERR(ESRCH, kill(0x3fffffff, SIGTERM));
    ERR(ESRCH, syscall(SYS_tgkill, getpid(), pid, SIGTERM));
    ERR(EINVAL, syscall(SYS_tgkill, -1, -1, SIGTERM));
    CHECK(0, kill(getpid(), 0));
    CHECK(0, kill(0, 0));
    OK();
}
