/* guest: with SIGCHLD ignored or SA_NOCLDWAIT children leave no zombies; SA_NOCLDSTOP
 * area: signals
 * source: wait(2) NOTES, sigaction(2)
 * calls: rt_sigaction, wait4, kill
 * broken-by: rt_sigaction:retval=0
 */
#include "check.h"

static volatile sig_atomic_t count;
static void child(int sig) { count += sig == SIGCHLD; }

static void stop_and_go(void) {
    int status;
    pid_t pid = MUST(fork());
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    while (waitpid(pid, &status, WUNTRACED) < 0)
        ;
    QUIET(1, WIFSTOPPED(status));
    MUST(kill(pid, SIGCONT));
    JOIN(pid);
}

int main(void) {
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = MUST(fork());
    if (pid == 0)
        _exit(5);
    ERR(ECHILD, waitpid(pid, NULL, 0)); /* waits for its end, then there is nothing to reap */
    on_signal(SIGCHLD, child, SA_NOCLDWAIT | SA_RESTART);
    pid = MUST(fork());
    if (pid == 0)
        _exit(5);
    ERR(ECHILD, waitpid(pid, NULL, 0));
    CHECK(1, count);
    on_signal(SIGCHLD, child, SA_NOCLDSTOP | SA_RESTART);
    count = 0;
    stop_and_go();
    CHECK(1, count);
    OK();
}
