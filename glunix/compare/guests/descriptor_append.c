/* guest: an output that the caller opened for appending appends, and says so
 * area: files
 * source: open(2) O_APPEND, fcntl(2) F_GETFL
 * calls: fcntl, write, newfstatat|fstat|stat
 * start: printf abc >f; exec >>f
 * broken-by: fcntl:retval=0:when=1
 */
#include "check.h"
int main(void) {
    struct stat seen;
    check_out = stderr;
    CHECK(O_APPEND, fcntl(1, F_GETFL) & O_APPEND);
    CHECK(2, write(1, "de", 2));
    CHECK(0, fstat(1, &seen));
    CHECK(5, seen.st_size);
    CHECK(0, lseek(1, 0, SEEK_SET));
    CHECK(1, write(1, "f", 1));
    CHECK(6, lseek(1, 0, SEEK_CUR));
    CHECK(0, stat("f", &seen));
    CHECK(6, seen.st_size);
    OK();
}
