/* guest: a thread that is cancelled in a blocked read runs its clean-up and ends
 * area: threads
 * source: pthread_cancel(3), pthreads(7) Cancelation points
 * calls: tgkill, read, clone|clone3
 * broken-by: tgkill:error=ESRCH
 */
#include "check.h"

static int p[2], started[2], cleaned;
static void clean(void *unused) {
    (void)unused;
    cleaned++;
}
static void *reads(void *unused) {
    char byte;
    pthread_cleanup_push(clean, NULL);
    give_byte(started[1]);
    while (read(p[0], &byte, 1) == 1)
        ;
    pthread_cleanup_pop(0);
    return unused;
}

int main(void) {
    pthread_t t;
    void *result;
    MUST(pipe(p));
    MUST(pipe(started));
    QUIET(0, pthread_create(&t, NULL, reads, NULL));
    take_byte(started[0]);
    CHECK(0, pthread_cancel(t));
    CHECK(0, pthread_join(t, &result));
    HOLDS(result == PTHREAD_CANCELED);
    CHECK(1, cleaned);
    QUIET(1, write(p[1], "x", 1));
    CHECK(1, waits_for(p[0], POLLIN, 0)); /* nobody has taken it */
    OK();
}
