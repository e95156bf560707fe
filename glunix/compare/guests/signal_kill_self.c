/* guest: a process that kills itself is dead before kill returns
 * area: signals
 * source: kill(2) NOTES, POSIX.1-2017 kill
 * calls: kill, write
 * status: SIGTERM
 * broken-by: kill:retval=0
 */
#include "check.h"

int main(void) {
    SAY("killing myself");
    kill(getpid(), SIGTERM);
    SAY("expected to be dead, got on");
    return 1;
}
