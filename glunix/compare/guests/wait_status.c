/* guest: exit statuses are cut to 8 bits; waitpid's selections, WNOHANG and ECHILD
 * area: waiting
 * source: wait(2), exit(3)
 * calls: wait4, exit_group, clone|clone3|fork
 * also: static
 * broken-by: wait4:retval=0
 */
#include "check.h"

int main(void) {
    const int codes[] = {0, 1, 127, 255, 256, 257, -1};
    int status;
    for (int i = 0; i < 7; i++) {
        pid_t pid = MUST(fork());
        if (pid == 0)
            _exit(codes[i]);
        QUIET(pid, waitpid(pid, &status, 0));
        SAY("_exit(%d): %d", codes[i], WEXITSTATUS(status));
        QUIET(1, WIFEXITED(status));
        QUIET(codes[i] & 255, WEXITSTATUS(status));
    }
    ERR(ECHILD, waitpid(-1, &status, 0));
    ERR(ECHILD, waitpid(getpid(), &status, 0));
    pid_t a = idle_child(), b = idle_child();
    CHECK(0, waitpid(-1, &status, WNOHANG));
    MUST(setpgid(b, b));
    MUST(kill(a, SIGKILL));
    MUST(kill(b, SIGTERM));
    HOLDS(waitpid(-b, &status, 0) == b && WTERMSIG(status) == SIGTERM);
    HOLDS(waitpid(0, &status, 0) == a && WTERMSIG(status) == SIGKILL);
    ERR(ECHILD, waitpid(0, &status, WNOHANG));
    ERR(EINVAL, waitpid(-1, &status, 0x40));
    OK();
}
