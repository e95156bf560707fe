/* guest: thirty-two orphans at once are the subreaper's, each with its own status
 * area: waiting
 * source: prctl(2) PR_SET_CHILD_SUBREAPER, wait(2)
 * calls: prctl, wait4|waitid
 * broken-by: prctl:retval=0:when=2+
 */
#include "check.h"
int main(void) {
    int seen[32] = {0}, p[2];
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    MUST(pipe(p));
    pid_t middle = MUST(fork());
    if (middle == 0) {
        close(p[1]);
        for (int i = 0; i < 32; i++) {
            pid_t pid = MUST(fork());
            if (pid == 0) {
                char byte;
                _exit(read(p[0], &byte, 1) == 0 ? i : 99);
            }
        }
        _exit(0);
    }
    close(p[0]);
    JOIN(middle);
    close(p[1]);
    for (int i = 0; i < 32; i++) {
        int status;
        HOLDS(waitpid(-1, &status, 0) > 0);
        HOLDS(WIFEXITED(status) && WEXITSTATUS(status) < 32 && !seen[WEXITSTATUS(status)]++);
    }
    ERR(ECHILD, waitpid(-1, NULL, 0));
    OK();
}
