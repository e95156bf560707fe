/* guest: oom_score_adj is home's, may be raised by all, and is inherited
 * area: identity
 * source: proc(5) /proc/PID/oom_score_adj
 * calls: write
 * broken-by: write:error=EIO:when=1
 */
#include "check.h"

static int now(void) {
    char text[16] = "";
    int fd = MUST(open("/proc/self/oom_score_adj", O_RDONLY));
    MUST(read(fd, text, sizeof text - 1));
    close(fd);
    return atoi(text);
}

static ssize_t set(int value) {
    char text[16];
    int size = snprintf(text, sizeof text, "%d", value), fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY));
    ssize_t done = write(fd, text, size);
    int error = errno;
    close(fd);
    errno = error;
    return done < 0 ? -1 : 0;
}

int main(void) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    int had = now();
    printf("oom_score_adj %d\n", had);
    CHECK(0, set(900));
    CHECK(900, now());
    fflush(stdout);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(900, now());
        CHECK(0, set(1000));
        CHECK(1000, now());
        fflush(stdout);
        _exit(0);
    }
    JOIN(pid);
    CHECK(900, now());
    ERR(EINVAL, set(1001));
    OK();
}
