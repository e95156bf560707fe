/* guest: stops and continuations are seen by WUNTRACED and WCONTINUED, once each
 * area: waiting
 * source: wait(2)
 * calls: wait4, waitid, kill
 * broken-by: waitid:retval=0
 */
#include "check.h"

int main(void) {
    int status;
    siginfo_t info;
    pid_t pid = idle_child();
    MUST(kill(pid, SIGSTOP));
    HOLDS(waitpid(pid, &status, WUNTRACED) == pid);
    HOLDS(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP && !WIFCONTINUED(status));
    CHECK(0, waitpid(pid, &status, WUNTRACED | WNOHANG));
    MUST(kill(pid, SIGCONT));
    HOLDS(waitpid(pid, &status, WCONTINUED) == pid);
    HOLDS(WIFCONTINUED(status) && !WIFSTOPPED(status) && !WIFEXITED(status));
    CHECK(0, waitpid(pid, &status, WCONTINUED | WNOHANG));
    const int signals[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 3; i++) {
        memset(&info, 0, sizeof info);
        MUST(kill(pid, signals[i]));
        CHECK(0, waitid(P_PID, pid, &info, WSTOPPED));
        HOLDS(info.si_code == CLD_STOPPED && info.si_status == signals[i] && info.si_pid == pid);
        MUST(kill(pid, SIGCONT));
        CHECK(0, waitid(P_PID, pid, &info, WCONTINUED));
        HOLDS(info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
    }
    MUST(kill(pid, SIGSTOP));
    QUIET(pid, waitpid(pid, &status, WUNTRACED));
    MUST(kill(pid, SIGTERM)); /* waits until it is continued */
    CHECK(0, waitpid(pid, &status, WNOHANG));
    MUST(kill(pid, SIGCONT));
    CHECK(SIGTERM, status_of(pid));
    pid = idle_child();
    MUST(kill(pid, SIGSTOP));
    QUIET(pid, waitpid(pid, &status, WUNTRACED));
    MUST(kill(pid, SIGKILL)); /* does not wait */
    CHECK(SIGKILL, status_of(pid));
    OK();
}
