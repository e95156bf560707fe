/* guest: a caller's limit of processor time is the program's, which has used none of it
 * area: timers
 * source: getrlimit(2) RLIMIT_CPU, times(2)
 * calls: prlimit64|getrlimit, getrusage
 * start: ulimit -St 7; ulimit -Ht 9
 * broken-by: prlimit64:error=EPERM
 */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    struct rusage used;
    CHECK(0, getrlimit(RLIMIT_CPU, &limit));
    CHECK(7, limit.rlim_cur);
    CHECK(9, limit.rlim_max);
    CHECK(0, getrusage(RUSAGE_SELF, &used));
    HOLDS(used.ru_utime.tv_sec == 0 && used.ru_stime.tv_sec == 0);
    limit.rlim_max = 10;
    if (geteuid() != 0)
        QUIET(-1, setrlimit(RLIMIT_CPU, &limit));
    OK();
}
