/* guest: who is seen asleep (state S) is so in a call of its own: no signal sent then is lost
 * area: signals
 * source: proc(5) state, pause(2), kill(2)
 * calls: pause, kill
 * broken-by: kill:retval=0:when=3
 */
#include "check.h"
#include <sys/wait.h>

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
    struct sigaction act = {.sa_handler = on};
    MUST(sigaction(SIGUSR1, &act, 0));
    for (int i = 0; i < 50; i++) {
        pid_t pid = MUST(fork());
        if (pid == 0) {
            alarm(3);
            pause();
            _exit(0);
        }
        while (state(pid) != 'S') usleep(100);
        MUST(kill(pid, SIGUSR1));
        int status;
        MUST(waitpid(pid, &status, 0));
        lost += WIFSIGNALED(status);
    }
    CHECK(0, lost);
    OK();
}
