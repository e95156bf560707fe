/* guest: a program begins without a parent-death signal; one that is set is its own, until fork
 * area: identity
 * source: prctl(2) PR_SET_PDEATHSIG, PR_GET_PDEATHSIG
 * calls: prctl
 * broken-by: prctl:retval=0:when=2+
 */
#include "check.h"

static int signal_at_death(void) {
    int found = -1;
    MUST(prctl(PR_GET_PDEATHSIG, &found));
    return found;
}

int main(void) {
    CHECK(0, signal_at_death());
    CHECK(0, prctl(PR_SET_PDEATHSIG, SIGUSR1));
    CHECK(SIGUSR1, signal_at_death());
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, signal_at_death());
        _exit(0);
    }
    JOIN(pid);
    ERR(EINVAL, prctl(PR_SET_PDEATHSIG, 999));
    CHECK(0, prctl(PR_SET_PDEATHSIG, 0));
    CHECK(0, signal_at_death());
    OK();
}
