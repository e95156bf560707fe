/* guest: the timer slack is home's, its own, and the default of its children
 * area: timers
 * source: prctl(2) PR_SET_TIMERSLACK
 * calls: prctl
 * broken-by: prctl:retval=0:when=3+
 */
#include "check.h"

int main(void) {
    int had = prctl(PR_GET_TIMERSLACK);
    printf("slack %d\n", had);
    CHECK(0, prctl(PR_SET_TIMERSLACK, 12345));
    CHECK(12345, prctl(PR_GET_TIMERSLACK));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(12345, prctl(PR_GET_TIMERSLACK));
        CHECK(0, prctl(PR_SET_TIMERSLACK, 99999));
        CHECK(0, prctl(PR_SET_TIMERSLACK, 0));
        CHECK(12345, prctl(PR_GET_TIMERSLACK));
        _exit(0);
    }
    JOIN(pid);
    CHECK(0, prctl(PR_SET_TIMERSLACK, 0));
    HOLDS(prctl(PR_GET_TIMERSLACK) == had);
    OK();
}
