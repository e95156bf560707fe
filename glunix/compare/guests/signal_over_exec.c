/* guest: over exec the signal mask, pending and ignored signals stay, handlers go
 * area: signals
 * source: execve(2), signal(7)
 * calls: execve, rt_sigaction, rt_sigprocmask, rt_sigpending, kill
 * also: static
 * broken-by: kill:retval=0
 */
#include "check.h"

static void handler(int sig) { (void)sig; }

int main(int argc, char **argv) {
    sigset_t set;
    (void)argv;
    if (argc == 1) {
        on_signal(SIGUSR1, handler, 0);
        signal(SIGUSR2, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGRTMIN + 3);
        MUST(sigprocmask(SIG_SETMASK, &set, NULL));
        MUST(kill(getpid(), SIGTERM));
        execl("/proc/self/exe", "guest", "again", NULL);
        return 1;
    }
    struct sigaction now;
    MUST(sigaction(SIGUSR1, NULL, &now));
    HOLDS(now.sa_handler == SIG_DFL);
    MUST(sigaction(SIGUSR2, NULL, &now));
    HOLDS(now.sa_handler == SIG_IGN);
    MUST(sigaction(SIGINT, NULL, &now));
    HOLDS(now.sa_handler == SIG_IGN);
    MUST(sigprocmask(SIG_SETMASK, NULL, &set));
    for (int sig = 1; sig < 32; sig++)
        QUIET(sig == SIGTERM, sigismember(&set, sig));
    CHECK(1, sigismember(&set, SIGRTMIN + 3));
    MUST(sigpending(&set));
    CHECK(1, sigismember(&set, SIGTERM));
    CHECK(0, sigismember(&set, SIGUSR1));
    OK();
}
