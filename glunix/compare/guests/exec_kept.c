/* guest: pid, parent, group, session, cwd, umask, limits, nice and alarms stay over exec
 * area: exec
 * source: execve(2) Effect on process attributes
 * calls: execve, umask, prlimit64, setitimer|alarm, getpriority
 * broken-by: umask:retval=0
 */
#include "check.h"
#include <sys/resource.h>

static void state(char *text, size_t size) {
    char here[4096];
    struct rlimit files;
    MUST(getcwd(here, sizeof here));
    MUST(getrlimit(RLIMIT_NOFILE, &files));
    mode_t mask = umask(0);
    umask(mask);
    snprintf(text, size, "%d %d %d %d %o %ld %d %s", getpid(), getppid(), getpgrp(), getsid(0), mask,
             (long)files.rlim_cur, getpriority(PRIO_PROCESS, 0), here);
}

int main(int argc, char **argv) {
    char now[5000];
    state(now, sizeof now);
    if (argc > 1) {
        HOLDS(strcmp(now, argv[1]) == 0);
        mode_t mask = umask(0);
        CHECK(0137, mask);
        HOLDS(alarm(0) > 900);
        CHECK(0, access("../inside", F_OK));
        OK();
    }
    MUST(mkdir("inside", 0700));
    MUST(chdir("inside"));
    struct rlimit files = {77, 88};
    MUST(setrlimit(RLIMIT_NOFILE, &files));
    umask(0137);
    errno = 0;
    MUST(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 3));
    alarm(1000);
    state(now, sizeof now);
    execl("/proc/self/exe", "guest", now, NULL);
    return 1;
}
