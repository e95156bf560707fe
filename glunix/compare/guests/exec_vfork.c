/* guest: after vfork the parent waits for the child's exec or end, and shares its memory
 * area: exec
 * source: vfork(2)
 * calls: vfork|clone, execve, wait4
 * broken-by: wait4:error=ECHILD
 */
#include "check.h"

static volatile int written;

int main(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        for (volatile int i = 0; i < 1000000; i++)
            ;
        written = 42;
        _exit(3);
    }
    CHECK(42, written);
    CHECK(3 << 8, status_of(pid));
    pid = vfork();
    if (pid == 0) {
        written = 43;
        execl("/bin/sh", "sh", "-c", "exit 4", NULL);
        _exit(99);
    }
    CHECK(43, written);
    CHECK(4 << 8, status_of(pid));
    pid = vfork();
    if (pid == 0) {
        execl("/nowhere", "nowhere", NULL);
        written = errno;
        _exit(127);
    }
    CHECK(ENOENT, written);
    CHECK(127 << 8, status_of(pid));
    OK();
}
