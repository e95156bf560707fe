/* guest: flock belongs to the open file: shared by dup and fork, ended by its last close
 * area: files
 * source: flock(2)
 * calls: flock, dup, close
 * broken-by: flock:retval=0
 */
#include "check.h"
#include <sys/file.h>

int main(void) {
    int a = MUST(open("f", O_RDWR | O_CREAT, 0600)), b = MUST(open("f", O_RDONLY));
    CHECK(0, flock(a, LOCK_EX));
    ERR(EAGAIN, flock(b, LOCK_SH | LOCK_NB));
    int twin = MUST(dup(a));
    CHECK(0, flock(twin, LOCK_SH));
    CHECK(0, flock(b, LOCK_SH | LOCK_NB));
    ERR(EAGAIN, flock(b, LOCK_EX | LOCK_NB));
    close(a);
    ERR(EAGAIN, flock(b, LOCK_EX | LOCK_NB));
    close(twin);
    CHECK(0, flock(b, LOCK_EX | LOCK_NB));
    int back[2];
    MUST(pipe(back));
    pid_t pid = MUST(fork());
    if (pid == 0) { /* the child's copy keeps the lock after the parent closed its own */
        close(back[1]);
        take_byte(back[0]);
        _exit(0);
    }
    close(b);
    int c = MUST(open("f", O_RDWR));
    ERR(EAGAIN, flock(c, LOCK_EX | LOCK_NB));
    give_byte(back[1]);
    JOIN(pid);
    CHECK(0, flock(c, LOCK_EX | LOCK_NB));
    CHECK(0, flock(c, LOCK_UN));
    ERR(EINVAL, flock(c, 0));
    OK();
}
