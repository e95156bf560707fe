/* guest: exit in any thread ends the process; the first thread may end before the others
 * area: threads
 * source: pthread_exit(3), exit_group(2)
 * calls: exit_group, exit, clone|clone3, wait4
 * broken-by: wait4:retval=0
 */
#include "check.h"

static void *exits(void *unused) {
    exit(23);
    return unused;
}
static pthread_t first;
static void *lives_on(void *unused) {
    pthread_join(first, NULL);
    (void)unused;
    exit(24);
}
static void *dies(void *unused) {
    kill(getpid(), SIGKILL);
    return unused;
}

static int child(void *(*start)(void *), int leave) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
        pthread_t t;
        first = pthread_self();
        pthread_create(&t, NULL, start, NULL);
        if (leave)
            pthread_exit(NULL);
        for (;;)
            pause();
    }
    return status_of(pid);
}

int main(void) {
    CHECK(23 << 8, child(exits, 0));
    CHECK(24 << 8, child(lives_on, 1));
    CHECK(SIGKILL, child(dies, 0));
    CHECK(SIGKILL, child(dies, 1));
    OK();
}
