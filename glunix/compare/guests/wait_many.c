/* guest: two hundred children, each waited for once, with its own status
 * area: waiting
 * source: wait(2), fork(2)
 * calls: wait4, clone|clone3|fork, exit_group
 * broken-by: wait4:retval=1:when=50
 */
#include "check.h"

int main(void) {
    enum { N = 200 };
    pid_t pids[N];
    for (int i = 0; i < N; i++)
        if ((pids[i] = MUST(fork())) == 0)
            _exit(i);
    int status, seen = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, 0)) > 0) {
        int i = 0;
        while (i < N && pids[i] != pid)
            i++;
        if (i == N)
            check_failed(__LINE__, "expected one of the children, got another");
        QUIET(i, WEXITSTATUS(status));
        pids[i] = 0;
        seen++;
    }
    CHECK(N, seen);
    ERR(ECHILD, waitpid(-1, &status, 0));
    OK();
}
