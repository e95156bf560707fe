/* guest: /proc/self/status agrees with the calls: parent, signals, threads, filters
 * area: identity
 * source: proc(5) status
 * calls: getppid, rt_sigprocmask
 * broken-by: rt_sigprocmask:retval=0
 */
#include "check.h"
static long field(const char *name, int base) {
    char line[512];
    long found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name))) found = strtol(line + strlen(name), NULL, base);
    if (file) fclose(file);
    return found;
}

int main(void) {
    HOLDS(field("Pid:", 10) == getpid());
    HOLDS(field("PPid:", 10) == getppid());
    CHECK(1, field("Threads:", 10));
    CHECK(0, field("SigPnd:", 16));
    CHECK(0, field("SigBlk:", 16));
    CHECK(0, field("SigCgt:", 16));
    /* glibc's posix_spawn ignores its own two, 32 and 33, in what it starts */
    printf("SigIgn %lx\n", field("SigIgn:", 16) & ~0x180000000);
    printf("NoNewPrivs %ld\n", field("NoNewPrivs:", 10));
    CHECK(0, field("VmLck:", 10));
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    CHECK(0, sigprocmask(SIG_BLOCK, &one, NULL));
    CHECK(1 << (SIGUSR1 - 1), field("SigBlk:", 16));
    OK();
}
