/* guest: a program whose caller ignores nothing dies of a broken pipe and of its size limit
 * area: signals
 * source: signal(7), execve(2)
 * calls: rt_sigaction, write, wait4|waitid
 * start: exec env --default-signal "$@"
 * broken-by: rt_sigaction:error=EINVAL
 */
#include "check.h"
int main(void) {
    int p[2], status;
    MUST(pipe(p));
    close(p[0]);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        if (write(p[1], "x", 1) == 1) _exit(1);
        _exit(2);
    }
    MUST(waitpid(pid, &status, 0));
    HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    struct sigaction seen;
    CHECK(0, sigaction(SIGXFSZ, NULL, &seen));
    HOLDS(seen.sa_handler == SIG_DFL);
    OK();
}
