/* guest: a program is no subreaper; made one, it gets the orphans of its children and may wait
 * area: waiting
 * source: prctl(2) PR_SET_CHILD_SUBREAPER
 * calls: prctl, wait4|waitid
 * broken-by: prctl:retval=0:when=3+
 */
#include "check.h"
#include <sys/wait.h>

int main(void) {
    int is = -1, status;
    CHECK(0, prctl(PR_GET_CHILD_SUBREAPER, &is));
    CHECK(0, is);
    CHECK(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
    CHECK(0, prctl(PR_GET_CHILD_SUBREAPER, &is));
    CHECK(1, is);
    pid_t self = getpid(), child = MUST(fork());
    if (child == 0) {
        prctl(PR_GET_CHILD_SUBREAPER, &is);
        CHECK(0, is);
        fflush(stdout);
        pid_t middle = getpid();
        if (fork() == 0) {
            while (getppid() == middle) usleep(1000);
            _exit(getppid() == self ? 7 : 8);
        }
        _exit(0);
    }
    JOIN(child);
    HOLDS(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    ERR(ECHILD, wait(&status));
    OK();
}
