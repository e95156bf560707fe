/* guest: what prctl tells of a program that has just begun is as the kernel makes it
 * area: identity
 * source: prctl(2)
 * calls: prctl
 * broken-by: prctl:retval=7:when=12+
 */
#include "check.h"
#define SHOW(what) printf(#what " %d\n", prctl(what, 0, 0, 0, 0))

int main(void) {
    int word = -1;
    SHOW(PR_GET_DUMPABLE);
    SHOW(PR_GET_KEEPCAPS);
    SHOW(PR_GET_TIMING);
    SHOW(PR_GET_SECUREBITS);
    SHOW(PR_GET_NO_NEW_PRIVS);
    SHOW(PR_GET_THP_DISABLE);
    SHOW(PR_MCE_KILL_GET);
    SHOW(PR_GET_TIMERSLACK);
    SHOW(PR_GET_SPECULATION_CTRL);
    CHECK(0, prctl(PR_GET_TSC, &word));
    CHECK(PR_TSC_ENABLE, word);
    CHECK(0, prctl(PR_GET_CHILD_SUBREAPER, &word));
    CHECK(0, word);
    OK();
}
