/* guest: an unprivileged process may not change the names of its machine
 * area: identity
 * source: sethostname(2)
 * calls: sethostname, setdomainname, setresuid, uname
 * needs: root
 * broken-by: sethostname:retval=0
 */
#include "check.h"
#include <sys/utsname.h>

int main(void) {
    struct utsname before, after;
    MUST(uname(&before));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        MUST(setresgid(65534, 65534, 65534));
        MUST(setresuid(65534, 65534, 65534));
        ERR(EPERM, sethostname("other", 5));
        ERR(EPERM, setdomainname("other", 5));
        _exit(0);
    }
    JOIN(pid);
    char name[65] = "";
    ERR(EINVAL, sethostname(name, sizeof name));
    MUST(uname(&after));
    HOLDS(strcmp(before.nodename, after.nodename) == 0);
    OK();
}
