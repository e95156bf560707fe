/* guest: terminal stop signals do nothing in an orphaned group, SIGSTOP does
 * area: groups
 * source: signal(7), POSIX.1-2017 2.4.3 Signal Actions
 * calls: setsid, kill, wait4
 * broken-by: setsid:error=EPERM
 */
#include "check.h"

int main(void) {
    int status;
    pid_t pid = MUST(fork());
    if (pid == 0) {
        MUST(setsid()); /* its group: only itself, and its parent is in another session */
        CHECK(0, raise(SIGTSTP) | raise(SIGTTIN) | raise(SIGTTOU));
        SAY("still running");
        raise(SIGSTOP);
        _exit(6);
    }
    HOLDS(waitpid(pid, &status, WUNTRACED) == pid);
    HOLDS(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    MUST(kill(pid, SIGCONT));
    CHECK(6 << 8, status_of(pid));
    OK();
}
