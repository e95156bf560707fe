/* guest: the scheduling class is inherited, may be lowered by all, and raised with a right only
 * area: identity
 * source: sched(7), sched_setscheduler(2)
 * calls: sched_getscheduler, sched_setscheduler
 * broken-by: sched_setscheduler:retval=0
 */
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

int main(void) {
    struct sched_param none = {0}, real = {1};
    printf("policy %d\n", sched_getscheduler(0));
    MUST(sched_setscheduler(0, SCHED_OTHER, &none));
    CHECK(0, sched_setscheduler(0, SCHED_BATCH, &none));
    CHECK(SCHED_BATCH, sched_getscheduler(0));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(SCHED_BATCH, sched_getscheduler(0));
        CHECK(0, sched_setscheduler(0, SCHED_IDLE, &none));
        CHECK(SCHED_IDLE, sched_getscheduler(0));
        struct rlimit nothing = {0, 0};
        MUST(setrlimit(RLIMIT_RTPRIO, &nothing));
        if (geteuid() == 0) {
            MUST(setresgid(65534, 65534, 65534));
            MUST(setresuid(65534, 65534, 65534));
        }
        ERR(EPERM, sched_setscheduler(0, SCHED_FIFO, &real));
        ERR(EINVAL, sched_setscheduler(0, SCHED_FIFO, &none));
        _exit(0);
    }
    JOIN(pid);
    CHECK(SCHED_BATCH, sched_getscheduler(0));
    CHECK(0, sched_setscheduler(0, SCHED_OTHER, &none));
    ERR(ESRCH, sched_getscheduler(0x3fffffff));
    OK();
}
