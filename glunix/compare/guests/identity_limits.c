/* guest: resource limits: getrlimit, prlimit, /proc and the shell agree; lowering; inheritance
 * area: identity
 * source: getrlimit(2), proc(5) /proc/pid/limits
 * calls: prlimit64, execve, wait4
 * broken-by: prlimit64:retval=0
 */
#include "check.h"
#include <sys/resource.h>

static long from_proc(const char *name) {
    char line[256];
    FILE *f = fopen("/proc/self/limits", "r");
    long value = -2;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + 26, NULL, 10);
    if (f)
        fclose(f);
    return value;
}

int main(void) {
    struct rlimit a = {0, 0}, b = {1, 1};
    MUST(getrlimit(RLIMIT_NOFILE, &a));
    CHECK(0, prlimit(0, RLIMIT_NOFILE, NULL, &b));
    HOLDS(a.rlim_cur == b.rlim_cur && a.rlim_max == b.rlim_max);
    HOLDS(from_proc("Max open files") == (long)a.rlim_cur);
    struct rlimit lower = {50, 60};
    CHECK(0, setrlimit(RLIMIT_NOFILE, &lower));
    CHECK(50, from_proc("Max open files"));
    CHECK(50, sysconf(_SC_OPEN_MAX));
    CHECK(50 << 8, system("exit $(ulimit -n)"));
    lower.rlim_cur = 60;
    CHECK(0, setrlimit(RLIMIT_NOFILE, &lower));
    lower.rlim_cur = 61;
    ERR(EINVAL, setrlimit(RLIMIT_NOFILE, &lower));
    pid_t pid = idle_child();
    lower = (struct rlimit){20, 30};
    CHECK(0, prlimit(pid, RLIMIT_NOFILE, &lower, &b));
    HOLDS(b.rlim_cur == 60 && b.rlim_max == 60);
    CHECK(0, prlimit(pid, RLIMIT_NOFILE, NULL, &b));
    HOLDS(b.rlim_cur == 20 && b.rlim_max == 30);
    MUST(kill(pid, SIGKILL));
    status_of(pid);
    ERR(EINVAL, syscall(SYS_prlimit64, 0, 99, NULL, &b));
    ERR(ESRCH, syscall(SYS_prlimit64, 0x3fffffff, RLIMIT_NOFILE, NULL, &b));
    OK();
}
