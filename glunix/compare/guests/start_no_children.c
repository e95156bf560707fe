/* guest: a program begins with no children, and with nothing pending or blocked
 * area: waiting
 * source: wait(2) ECHILD, sigpending(2)
 * calls: wait4|waitid, rt_sigpending
 * broken-by: wait4:retval=1
 */
#include "check.h"
int main(void) {
    sigset_t waiting, blocked;
    ERR(ECHILD, waitpid(-1, NULL, WNOHANG));
    CHECK(0, sigpending(&waiting));
    HOLDS(sigisemptyset(&waiting));
    CHECK(0, sigprocmask(SIG_BLOCK, NULL, &blocked));
    HOLDS(sigisemptyset(&blocked));
    OK();
}
