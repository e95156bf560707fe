/* guest: waiting for a child is interrupted without SA_RESTART and goes on with it
 * area: eintr
 * source: wait(2), signal(7)
 * calls: wait4, waitid, setitimer, kill
 * broken-by: wait4:error=ECHILD
 */
#include "check.h"

static volatile sig_atomic_t count;
static pid_t child;
static void tick(int sig) { count += sig == SIGALRM; }
static void end_it(int sig) {
    if (++count == 3)
        kill(child, SIGTERM);
    (void)sig;
}

int main(void) {
    int status;
    siginfo_t info;
    child = idle_child();
    on_signal(SIGALRM, tick, 0);
    ticks(10);
    ERR(EINTR, waitpid(child, &status, 0));
    ERR(EINTR, waitid(P_PID, child, &info, WEXITED));
    HOLDS(count >= 2);
    count = -1000000;
    on_signal(SIGALRM, end_it, SA_RESTART);
    count = 0;
    HOLDS(waitpid(child, &status, 0) == child);
    CHECK(SIGTERM, WTERMSIG(status));
    HOLDS(count >= 3);
    OK();
}
