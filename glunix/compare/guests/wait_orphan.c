/* guest: a process whose parent ends gets another one, the nearest subreaper
 * area: waiting
 * source: prctl(2) PR_SET_CHILD_SUBREAPER, getppid(2)
 * calls: prctl, getppid, wait4, exit_group
 * broken-by: prctl:retval=0:when=2+
 */
#include "check.h"

int main(void) {
    int go[2], status;
    pid_t me = getpid();
    MUST(pipe(go));
    CHECK(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        pid_t parent = getpid();
        if (MUST(fork()) == 0) {
            close(go[1]);
            take_byte(go[0]); /* by now the parent has been waited for */
            HOLDS(getppid() != parent && getppid() == me);
            _exit(42);
        }
        _exit(0);
    }
    JOIN(pid);
    give_byte(go[1]);
    pid = waitpid(-1, &status, 0);
    HOLDS(pid > 0);
    CHECK(42, WEXITSTATUS(status));
    ERR(ECHILD, waitpid(-1, &status, 0));
    CHECK(0, prctl(PR_SET_CHILD_SUBREAPER, 0));
    OK();
}
