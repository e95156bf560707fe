/* guest: the processors that a program may use are home's choice, its own, and its children's
 * area: identity
 * source: sched_setaffinity(2)
 * calls: sched_getaffinity, sched_setaffinity
 * broken-by: sched_setaffinity:retval=0
 */
#include "check.h"
#include <sched.h>

static cpu_set_t had;

static int may_use(cpu_set_t *set) { CPU_ZERO(set); return sched_getaffinity(0, sizeof *set, set); }

int main(void) {
    cpu_set_t one, now;
    CHECK(0, may_use(&had));
    printf("%d processors:", CPU_COUNT(&had));
    int first = -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &had)) {
            printf(" %d", i);
            first = first < 0 ? i : first;
        }
    puts("");
    CPU_ZERO(&one);
    ERR(EINVAL, sched_setaffinity(0, sizeof one, &one));
    CPU_SET(first, &one);
    CHECK(0, sched_setaffinity(0, sizeof one, &one));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, may_use(&now));
        HOLDS(CPU_EQUAL(&now, &one));
        HOLDS(sched_getcpu() >= 0 && CPU_ISSET(sched_getcpu(), &one));
        _exit(0);
    }
    JOIN(pid);
    CHECK(0, may_use(&now));
    HOLDS(CPU_EQUAL(&now, &one));
    CHECK(0, sched_setaffinity(0, sizeof had, &had));
    ERR(ESRCH, sched_getaffinity(0x3fffffff, sizeof now, &now));
    OK();
}
