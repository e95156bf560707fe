/* guest: the I/O priority is home's, its own, and its children's
 * area: identity
 * source: ioprio_set(2)
 * calls: ioprio_get, ioprio_set
 * broken-by: ioprio_set:retval=0
 */
#include "check.h"

#define WHO_PROCESS 1
#define PRIORITY(class, level) ((class) << 13 | (level))

static long now(void) { return syscall(SYS_ioprio_get, WHO_PROCESS, 0); }
static long set(int priority) { return syscall(SYS_ioprio_set, WHO_PROCESS, 0, priority); }

int main(void) {
    long had = now();
    printf("priority %ld\n", had);
    CHECK(0, set(PRIORITY(2, 6)));
    HOLDS(now() == PRIORITY(2, 6));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(now() == PRIORITY(2, 6));
        CHECK(0, set(PRIORITY(3, 0)));
        HOLDS(now() >> 13 == 3);
        _exit(0);
    }
    JOIN(pid);
    HOLDS(now() == PRIORITY(2, 6));
    ERR(EINVAL, set(PRIORITY(5, 0)));
    OK();
}
