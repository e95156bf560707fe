/* guest: a program is dumpable as after every exec, may end that, and its files are its own again
 * area: identity
 * source: prctl(2) PR_SET_DUMPABLE, proc(5)
 * calls: prctl
 * broken-by: prctl:retval=1:when=3+
 */
#include "check.h"

int main(void) {
    CHECK(1, prctl(PR_GET_DUMPABLE));
    CHECK(0, prctl(PR_GET_KEEPCAPS));
    CHECK(0, prctl(PR_SET_DUMPABLE, 0));
    CHECK(0, prctl(PR_GET_DUMPABLE));
    struct stat seen;
    CHECK(0, stat("/proc/self/mem", &seen));
    HOLDS(seen.st_uid == 0);
    CHECK(0, prctl(PR_SET_DUMPABLE, 1));
    CHECK(0, stat("/proc/self/mem", &seen));
    HOLDS(seen.st_uid == geteuid());
    ERR(EINVAL, prctl(PR_SET_DUMPABLE, 2));
    OK();
}
