/* guest: read gives what is there, a short count at the end, 0 at and beyond it
 * area: files
 * source: read(2)
 * calls: openat, read, write, lseek
 * also: static
 * broken-by: read:retval=3:when=3+
 * broken-by: lseek:retval=0
 */
#include "check.h"

int main(void) {
    char buf[16];
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK(0, read(fd, buf, sizeof buf));
    CHECK(10, write(fd, "0123456789", 10));
    CHECK(0, read(fd, buf, sizeof buf));
    CHECK(0, lseek(fd, 0, SEEK_SET));
    CHECK(0, read(fd, buf, 0));
    CHECK(4, read(fd, buf, 4));
    TEXT("0123", buf, 4);
    CHECK(6, read(fd, buf, sizeof buf));
    TEXT("456789", buf, 6);
    CHECK(0, read(fd, buf, sizeof buf));
    CHECK(100, lseek(fd, 100, SEEK_SET));
    CHECK(0, read(fd, buf, sizeof buf));
    CHECK(100, lseek(fd, 0, SEEK_CUR));
    OK();
}
