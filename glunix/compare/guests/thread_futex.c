/* guest: futex: value mismatch, timeout, waking so many, requeueing
 * area: threads
 * source: futex(2)
 * calls: futex, clone|clone3
 * also: static
 * broken-by: futex:retval=0
 */
#include "check.h"
#include <linux/futex.h>

static int word, other, woken;
static long futex(int *at, int op, int value, void *extra, int *at2) {
    return syscall(SYS_futex, at, op | FUTEX_PRIVATE_FLAG, value, extra, at2, 0);
}
static void *sleeper(void *unused) {
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        futex(&word, FUTEX_WAIT, 0, NULL, NULL);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return unused;
}

int main(void) {
    pthread_t t[3];
    struct timespec brief = {0, 20000000}, bad = {0, -1};
    ERR(EAGAIN, futex(&word, FUTEX_WAIT, 1, NULL, NULL));
    long start = now_ms();
    ERR(ETIMEDOUT, futex(&word, FUTEX_WAIT, 0, &brief, NULL));
    HOLDS(now_ms() - start >= 20);
    ERR(EINVAL, futex(&word, FUTEX_WAIT, 0, &bad, NULL));
    CHECK(0, futex(&word, FUTEX_WAKE, 10, NULL, NULL));
    for (int i = 0; i < 3; i++)
        QUIET(0, pthread_create(&t[i], NULL, sleeper, NULL));
    /* All three are asleep when all three can be moved to another word. */
    long moved = 0;
    for (long end = now_ms() + 10000; moved < 3 && now_ms() < end; poll(NULL, 0, 1))
        moved += MUST(futex(&word, FUTEX_REQUEUE, 0, (void *)3, &other));
    CHECK(3, moved);
    CHECK(0, futex(&word, FUTEX_WAKE, 10, NULL, NULL));
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    CHECK(0, woken);
    CHECK(1, futex(&other, FUTEX_WAKE, 1, NULL, NULL));
    CHECK(2, futex(&other, FUTEX_WAKE, 10, NULL, NULL));
    for (int i = 0; i < 3; i++)
        QUIET(0, pthread_join(t[i], NULL));
    CHECK(3, woken);
    ERR(ENOSYS, syscall(SYS_futex, &word, 99, 0, NULL, NULL, 0));
    ERR(EFAULT, syscall(SYS_futex, (void *)-4096L, FUTEX_WAIT, 0, NULL, NULL, 0));
    OK();
}
