/* guest: being stopped and continued does not disturb a blocked read, with no handler set
 * area: eintr
 * source: signal(7) Interruption of system calls by stop signals
 * calls: read, kill, wait4, poll, clock_nanosleep
 * broken-by: kill:error=EPERM:when=1
 */
#include "check.h"

/* Stops and continues the child some times: at some of them it is inside the call. */
static void disturb(pid_t pid) {
    int status;
    for (int i = 0; i < 5; i++) {
        MUST(kill(pid, SIGSTOP));
        MUST(waitpid(pid, &status, WUNTRACED));
        QUIET(1, WIFSTOPPED(status));
        MUST(kill(pid, SIGCONT));
        MUST(waitpid(pid, &status, WCONTINUED));
        QUIET(1, WIFCONTINUED(status));
        waits_for(-1, 0, 2);
    }
}

int main(void) {
    char buf[8];
    int p[2], started[2];
    MUST(pipe(p));
    MUST(pipe(started));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct pollfd e = {p[0], POLLIN, 0};
        give_byte(started[1]);
        CHECK(5, read(p[0], buf, sizeof buf));
        give_byte(started[1]);
        CHECK(1, poll(&e, 1, 60000));
        CHECK(1, read(p[0], buf, 1));
        give_byte(started[1]);
        struct timespec some = {0, 50000000};
        CHECK(0, nanosleep(&some, NULL));
        _exit(0);
    }
    take_byte(started[0]);
    disturb(pid);
    QUIET(5, write(p[1], "hello", 5));
    take_byte(started[0]);
    disturb(pid);
    QUIET(1, write(p[1], "x", 1));
    take_byte(started[0]);
    disturb(pid);
    JOIN(pid);
    OK();
}
