/* guest: every write to an O_APPEND descriptor goes to the end, whoever wrote before
 * area: files
 * source: open(2) O_APPEND, pwrite(2) BUGS
 * calls: openat, write, pwrite64, lseek, fcntl
 * broken-by: lseek:retval=0
 */
#include "check.h"

int main(void) {
    char buf[32];
    int a = MUST(open("log", O_RDWR | O_CREAT | O_APPEND, 0600));
    int b = MUST(open("log", O_WRONLY | O_APPEND));
    int plain = MUST(open("log", O_RDWR));
    CHECK(2, write(a, "a1", 2));
    CHECK(2, write(b, "b1", 2));
    CHECK(4, lseek(b, 0, SEEK_CUR));
    CHECK(0, lseek(a, 0, SEEK_SET));
    CHECK(2, write(a, "a2", 2));
    CHECK(6, lseek(a, 0, SEEK_CUR));
    CHECK(2, pwrite(a, "pw", 2, 0));
    CHECK(6, lseek(a, 0, SEEK_CUR));
    CHECK(2, write(plain, "P0", 2));
    HOLDS((fcntl(a, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_RDWR));
    CHECK(0, fcntl(plain, F_SETFL, O_APPEND));
    CHECK(3, write(plain, "end", 3));
    CHECK(11, pread(a, buf, sizeof buf, 0));
    TEXT("P0b1a2pwend", buf, 11);
    OK();
}
