/* guest: sendfile, splice, tee and copy_file_range move bytes and the right offsets
 * area: files
 * source: sendfile(2), splice(2), tee(2), copy_file_range(2)
 * calls: sendfile, splice, tee, copy_file_range, pread64
 * broken-by: splice:retval=5
 * broken-by: sendfile:retval=3
 */
#include "check.h"
#include <sys/sendfile.h>

int main(void) {
    char buf[32];
    int p[2], q[2];
    MUST(pipe(p));
    MUST(pipe(q));
    int in = MUST(open("in", O_RDWR | O_CREAT, 0600)), out = MUST(open("out", O_RDWR | O_CREAT, 0600));
    QUIET(12, pwrite(in, "hello, world", 12, 0));
    off_t at = 7;
    CHECK(5, sendfile(p[1], in, &at, 100));
    CHECK(12, at);
    CHECK(0, lseek(in, 0, SEEK_CUR));
    CHECK(5, sendfile(p[1], in, NULL, 5));
    CHECK(5, lseek(in, 0, SEEK_CUR));
    CHECK(10, tee(p[0], q[1], 100, 0));
    CHECK(10, read(p[0], buf, sizeof buf));
    TEXT("worldhello", buf, 10);
    loff_t to = 2;
    CHECK(4, splice(q[0], NULL, out, &to, 4, 0));
    CHECK(6, to);
    CHECK(6, splice(q[0], NULL, out, &to, 100, 0));
    CHECK(12, pread(out, buf, sizeof buf, 0));
    HOLDS(memcmp(buf, "\0\0worldhello", 12) == 0);
    ERR(EAGAIN, splice(q[0], NULL, out, NULL, 4, SPLICE_F_NONBLOCK));
    ERR(EINVAL, splice(in, NULL, out, NULL, 4, 0));
    ERR(ESPIPE, splice(q[0], &to, out, NULL, 4, 0));
    loff_t from = 0, end = 12;
    CHECK(5, copy_file_range(in, &from, out, &end, 5, 0));
    CHECK(17, pread(out, buf, sizeof buf, 0));
    TEXT("worldhellohello", buf + 2, 15);
    CHECK(0, sendfile(p[1], in, &(off_t){12}, 5));
    OK();
}
