/* guest: the 32-bit system call entry has its own numbers: never taken for the 64-bit ones
 * area: exec
 * source: syscall(2) Architecture calling conventions, seccomp(2) AUDIT_ARCH
 * calls: getpid, umask
 * needs: ia32
 * broken-by: umask:retval=5
 */
#include "check.h"

static long ia32(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

int main(void) {
    HOLDS(ia32(20, 0, 0, 0) == getpid());  /* 64-bit 20: writev */
    HOLDS(ia32(64, 0, 0, 0) == getppid()); /* 64-bit 64: semget */
    umask(022);
    CHECK(022, ia32(60, 077, 0, 0)); /* umask; 64-bit 60: exit */
    mode_t mask = umask(0);
    CHECK(077, mask);
    CHECK(-EBADF, ia32(6, 777, 0, 0));  /* close; 64-bit 6: lstat */
    CHECK(-EBADF, ia32(3, -1, 0, 0));   /* read; 64-bit 3: close */
    CHECK(-ENOSYS, ia32(5000, 0, 0, 0));
    ERR(ENOSYS, syscall(5000));
    OK();
}
