/* guest: a caller's limit of processes is the program's, which may fork below it
 * area: identity
 * source: getrlimit(2) RLIMIT_NPROC
 * calls: prlimit64|getrlimit, clone|clone3|fork
 * start: ulimit -u 60
 * broken-by: prlimit64:error=EPERM
 */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    CHECK(0, getrlimit(RLIMIT_NPROC, &limit));
    CHECK(60, limit.rlim_cur);
    CHECK(60, limit.rlim_max);
    for (int i = 0; i < 3; i++) {
        pid_t pid = MUST(fork());
        if (pid == 0) _exit(0);
        JOIN(pid);
    }
    OK();
}
