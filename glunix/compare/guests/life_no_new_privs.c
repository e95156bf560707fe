/* guest: no_new_privs is home's, is inherited, and never ends
 * area: identity
 * source: prctl(2) PR_SET_NO_NEW_PRIVS
 * calls: prctl
 * broken-by: prctl:retval=0:when=3+
 */
#include "check.h"

static int now(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }

int main(void) {
    printf("no_new_privs %d\n", now());
    CHECK(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(1, now());
    ERR(EINVAL, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(1, now());
        _exit(0);
    }
    JOIN(pid);
    ERR(EINVAL, prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    OK();
}
