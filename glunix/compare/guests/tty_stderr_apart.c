/* guest: stderr sent elsewhere is not the terminal, while stdin and stdout still are
 * area: tty
 * source: isatty(3), POSIX.1-2017 XCU 2.7 Redirection
 * calls: ioctl, write
 * needs: tty
 * stderr: pipe
 * broken-by: ioctl:error=ENOTTY:when=2
 */
#include "check.h"

int main(void) {
    CHECK(1, isatty(0));
    CHECK(1, isatty(1));
    CHECK(0, isatty(2));
    QUIET(9, write(2, "to stderr", 9));
    QUIET(12, write(1, "to stdout\nx\n", 12));
    OK();
}
