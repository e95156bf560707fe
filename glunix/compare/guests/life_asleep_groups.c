/* guest: a process that makes its group or session is seen asleep only when it pauses
 * area: groups
 * source: proc(5) state, setpgid(2), setsid(2), pause(2)
 * calls: setpgid, setsid, kill
 * broken-by: setsid:error=EPERM
 */
#include "check.h"
static void on(int sig) { (void)sig; }

static char state(pid_t pid) {
    char name[64], c = '?';
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *file = fopen(name, "r");
    if (!file || fscanf(file, "%*d %*s %c", &c) != 1) c = '?';
    if (file) fclose(file);
    return c;
}

int main(void) {
    int lost = 0;
    on_signal(SIGUSR1, on, 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid = MUST(fork());
        if (pid == 0) {
            alarm(1);
            if ((i % 2 ? setsid() : setpgid(0, 0)) < 0) _exit(9);
            pause();
            _exit(0);
        }
        while (!strchr("SZX?", state(pid))) usleep(100);
        MUST(kill(pid, SIGUSR1));
        int status = status_of(pid);
        if (WIFEXITED(status)) QUIET(0, WEXITSTATUS(status));
        lost += WIFSIGNALED(status);
    }
    CHECK(0, lost);
    OK();
}
