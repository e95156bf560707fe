/* guest: a process's name is set and read back, by prctl and /proc, for each thread its own
 * area: identity
 * source: prctl(2) PR_SET_NAME, proc(5) /proc/pid/comm
 * calls: prctl, openat, write, execve
 * broken-by: prctl:retval=0:when=2+
 */
#include "check.h"

static char name[32];
static const char *comm(void) {
    int fd = MUST(open("/proc/self/comm", O_RDONLY));
    ssize_t n = MUST(read(fd, name, sizeof name - 1));
    name[n - 1] = 0;
    close(fd);
    return name;
}

int main(int argc, char **argv) {
    char own[17] = "";
    (void)argv;
    if (argc > 1) {
        HOLDS(strcmp(comm(), "guest") == 0);
        OK();
    }
    CHECK(0, prctl(PR_SET_NAME, "a rather long name"));
    CHECK(0, prctl(PR_GET_NAME, own));
    TEXT("a rather long n", own, strlen(own));
    HOLDS(strcmp(comm(), own) == 0);
    int fd = MUST(open("/proc/self/comm", O_WRONLY));
    CHECK(7, write(fd, "written", 7));
    CHECK(0, prctl(PR_GET_NAME, own));
    TEXT("written", own, strlen(own));
    MUST(symlink("/proc/self/exe", "exe"));
    execl("./exe", "guest", "again", NULL);
    return 1;
}
