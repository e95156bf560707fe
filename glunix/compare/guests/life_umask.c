/* guest: the umask is the caller's, by the call and in /proc, and its children's
 * area: identity
 * source: umask(2), proc(5)
 * calls: umask
 * start: umask 0137
 * broken-by: umask:retval=0
 */
#include "check.h"
int main(void) {
    CHECK(0137, umask(0));
    CHECK(0, umask(027));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(027, umask(0));
        _exit(0);
    }
    JOIN(pid);
    CHECK(027, umask(0));
    OK();
}
