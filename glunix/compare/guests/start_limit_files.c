/* guest: a caller's limit of ten descriptors is the program's: seven more, then EMFILE
 * area: files
 * source: getrlimit(2) RLIMIT_NOFILE, open(2) EMFILE
 * calls: prlimit64|getrlimit, openat
 * start: ulimit -n 10
 * broken-by: prlimit64:error=EPERM:when=2
 */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    CHECK(0, getrlimit(RLIMIT_NOFILE, &limit));
    CHECK(10, limit.rlim_cur);
    CHECK(10, limit.rlim_max);
    for (int fd = 3; fd < 10; fd++) QUIET(fd, open("/dev/null", O_RDONLY));
    ERR(EMFILE, open("/dev/null", O_RDONLY));
    int p[2];
    ERR(EMFILE, pipe(p));
    OK();
}
