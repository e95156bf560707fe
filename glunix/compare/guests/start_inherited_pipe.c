/* guest: a pipe above 2 comes along: what is in it is read once, its end is seen
 * area: pipes
 * source: pipe(7), execve(2)
 * calls: read, fcntl
 * start: exec 7< <(echo hello); wait $!
 * broken-by: read:retval=0:when=2+
 */
#include "check.h"
int main(void) {
    char buf[8];
    CHECK(0, fcntl(7, F_GETFD));
    CHECK(O_RDONLY, fcntl(7, F_GETFL) & O_ACCMODE);
    CHECK(3, read(7, buf, 3));
    TEXT("hel", buf, 3);
    CHECK(3, read(7, buf, 8));
    TEXT("lo\n", buf, 3);
    CHECK(0, read(7, buf, 8));
    OK();
}
