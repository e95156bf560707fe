/* guest: O_ASYNC and the owner of fd 0 are the program's to set, and its signal comes
 * area: signals
 * source: fcntl(2) F_SETOWN, F_SETSIG, O_ASYNC
 * calls: fcntl, read
 * stdin: open-pipe
 * on: go -> type "abc"
 * broken-by: fcntl:error=EINVAL:when=1
 */
#include "check.h"
static volatile sig_atomic_t came;
static void take(int sig) { came = sig; }

int main(void) {
    char buf[8];
    CHECK(0, fcntl(0, F_GETFL) & O_ASYNC);
    CHECK(0, fcntl(0, F_GETOWN));
    CHECK(0, fcntl(0, F_GETSIG));
    on_signal(SIGIO, take, SA_RESTART);
    CHECK(0, fcntl(0, F_SETOWN, getpid()));
    HOLDS(fcntl(0, F_GETOWN) == getpid());
    CHECK(0, fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_ASYNC));
    CHECK(O_ASYNC, fcntl(0, F_GETFL) & O_ASYNC);
    READY("go");
    for (int i = 0; i < 500 && !came; i++) usleep(10000);
    CHECK(SIGIO, came);
    CHECK(3, read(0, buf, 8));
    OK();
}
