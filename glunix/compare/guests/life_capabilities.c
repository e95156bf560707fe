/* guest: the bounding set and securebits are home's; without the right nothing leaves the set
 * area: identity
 * source: capabilities(7), prctl(2) PR_CAPBSET_READ
 * calls: prctl
 * broken-by: prctl:retval=1:when=2+
 */
#include "check.h"

int main(void) {
    printf("bounding");
    int cap = 0;
    for (; cap < 64; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0) break;
        printf("%d", has);
    }
    puts("");
    ERR(EINVAL, prctl(PR_CAPBSET_READ, 63, 0, 0, 0));
    CHECK(0, prctl(PR_GET_SECUREBITS));
    CHECK(0, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        if (geteuid() == 0) {
            MUST(setresgid(65534, 65534, 65534));
            MUST(setresuid(65534, 65534, 65534));
        }
        ERR(EPERM, prctl(PR_CAPBSET_DROP, 0, 0, 0, 0));
        _exit(0);
    }
    JOIN(pid);
    OK();
}
