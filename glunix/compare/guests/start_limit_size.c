/* guest: a caller's limit of file sizes is the program's: SIGXFSZ and EFBIG beyond, not before
 * area: files
 * source: getrlimit(2) RLIMIT_FSIZE, write(2) EFBIG
 * calls: prlimit64|getrlimit, pwrite64, openat
 * start: ulimit -f 200
 * broken-by: pwrite64:retval=2
 */
#include "check.h"
#include <sys/resource.h>

static volatile sig_atomic_t came;
static void take(int sig) { came = sig; }

int main(void) {
    struct rlimit limit;
    CHECK(0, getrlimit(RLIMIT_FSIZE, &limit));
    CHECK(200L << 10, limit.rlim_cur);
    CHECK(200L << 10, limit.rlim_max);
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    on_signal(SIGXFSZ, take, 0);
    CHECK(1, pwrite(fd, "xy", 2, (200 << 10) - 1));
    CHECK(0, came);
    ERR(EFBIG, pwrite(fd, "x", 1, 200 << 10));
    CHECK(SIGXFSZ, came);
    ERR(EFBIG, ftruncate(fd, (200 << 10) + 1));
    CHECK(0, ftruncate(fd, 0));
    OK();
}
