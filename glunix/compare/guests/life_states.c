/* guest: a process is seen stopped, asleep and dead as it is, and no longer when it was waited for
 * area: waiting
 * source: proc(5) state, kill(2), wait(2)
 * calls: kill, wait4|waitid
 * broken-by: kill:retval=0:when=1
 */
#include "check.h"
static char state(pid_t pid) {
    char name[64], c = '?';
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *file = fopen(name, "r");
    if (file && fscanf(file, "%*d %*s %c", &c) != 1) c = '?';
    if (file) fclose(file);
    return c == 't' ? 'T' : c; /* as a tracer makes it */
}

static char becomes(pid_t pid, char wanted) {
    for (int i = 0; i < 2000 && state(pid) != wanted; i++) usleep(1000);
    return state(pid);
}

int main(void) {
    pid_t pid = idle_child();
    CHECK('S', becomes(pid, 'S'));
    MUST(kill(pid, SIGSTOP));
    CHECK('T', becomes(pid, 'T'));
    MUST(kill(pid, SIGCONT));
    CHECK('S', becomes(pid, 'S'));
    MUST(kill(pid, SIGKILL));
    CHECK('Z', becomes(pid, 'Z'));
    HOLDS(WTERMSIG(status_of(pid)) == SIGKILL);
    CHECK('?', state(pid));
    ERR(ESRCH, kill(pid, 0));
    OK();
}
