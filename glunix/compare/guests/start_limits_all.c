/* guest: limits that a caller lowers are all the program's: stack, data, core, locked, queues
 * area: identity
 * source: getrlimit(2)
 * calls: prlimit64|getrlimit
 * start: ulimit -s 512; ulimit -d 50000; ulimit -c 0; ulimit -l 32; ulimit -q 4096; ulimit -i 77; ulimit -x 33; ulimit -r 0
 * broken-by: prlimit64:error=EPERM:when=2
 */
#include "check.h"
#include <sys/resource.h>

static long soft(int which) {
    struct rlimit limit;
    MUST(getrlimit(which, &limit));
    return (long)limit.rlim_cur;
}

int main(void) {
    CHECK(512L << 10, soft(RLIMIT_STACK));
    CHECK(50000L << 10, soft(RLIMIT_DATA));
    CHECK(0, soft(RLIMIT_CORE));
    CHECK(32L << 10, soft(RLIMIT_MEMLOCK));
    CHECK(4096, soft(RLIMIT_MSGQUEUE));
    CHECK(77, soft(RLIMIT_SIGPENDING));
    CHECK(33, soft(RLIMIT_LOCKS));
    CHECK(0, soft(RLIMIT_RTPRIO));
    OK();
}
