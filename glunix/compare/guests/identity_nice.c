/* guest: niceness is read, raised, inherited, and cannot be lowered without privilege
 * area: identity
 * source: nice(2), getpriority(2), setpriority(2)
 * calls: getpriority, setpriority
 * broken-by: setpriority:retval=0
 */
#include "check.h"
#include <sys/resource.h>

static int now(void) { return getpriority(PRIO_PROCESS, 0); }

int main(void) {
    int before = now(), after = before + 5 > 19 ? 19 : before + 5;
    errno = 0;
    HOLDS(nice(5) == after && now() == after);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(now() == after);
        if (geteuid() == 0) {
            MUST(setresgid(65534, 65534, 65534));
            MUST(setresuid(65534, 65534, 65534));
        }
        ERR(EACCES, setpriority(PRIO_PROCESS, 0, after - 1));
        CHECK(0, setpriority(PRIO_PROCESS, 0, 99));
        CHECK(19, now());
        _exit(0);
    }
    JOIN(pid);
    HOLDS(now() == after);
    ERR(EINVAL, getpriority(99, 0));
    ERR(ESRCH, getpriority(PRIO_PROCESS, 0x3fffffff));
    OK();
}
