/* guest: every deadly signal ends a process with its own wait status
 * area: waiting
 * source: signal(7), wait(2)
 * calls: wait4, kill, tgkill
 * broken-by: kill:retval=0
 */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit no_core = {0, 0};
    MUST(setrlimit(RLIMIT_CORE, &no_core));
    for (int sig = 1; sig < 32; sig++) {
        if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
            continue;
        pid_t pid = MUST(fork());
        if (pid == 0) {
            if (sig != SIGKILL)
                signal(sig, SIG_DFL);
            kill(getpid(), sig);
            _exit(0);
        }
        int status = status_of(pid);
        SAY("%s: %s %d", sigabbrev_np(sig), WIFSIGNALED(status) ? "killed" : "exited",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        int harmless = sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH;
        QUIET(harmless ? 0 : sig, status);
    }
    pid_t pid = MUST(fork());
    if (pid == 0)
        abort();
    CHECK(SIGABRT, status_of(pid));
    OK();
}
