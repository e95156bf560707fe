/* guest: writes of up to PIPE_BUF bytes from several processes do not mix
 * area: pipes
 * source: pipe(7) PIPE_BUF
 * calls: write, read, wait4
 * broken-by: read:retval=100:when=5
 */
#include "check.h"

enum { WRITERS = 4, TURNS = 50, SIZE = 4096 };

int main(void) {
    static char buf[SIZE];
    int p[2], count[WRITERS] = {0};
    MUST(pipe(p));
    for (int w = 0; w < WRITERS; w++) {
        if (MUST(fork()) == 0) {
            MUST(close(p[0]));
            memset(buf, 'a' + w, SIZE);
            for (int i = 0; i < TURNS; i++)
                QUIET(SIZE, write(p[1], buf, SIZE));
            _exit(0);
        }
    }
    MUST(close(p[1]));
    for (;;) {
        long have = 0, n;
        while (have < SIZE && (n = MUST(read(p[0], buf + have, SIZE - have))) > 0)
            have += n;
        if (have == 0)
            break;
        QUIET(SIZE, have);
        for (int i = 1; i < SIZE; i++)
            QUIET(buf[0], buf[i]);
        count[buf[0] - 'a']++;
    }
    for (int w = 0; w < WRITERS; w++) {
        JOIN(-1);
        CHECK(TURNS, count[w]);
    }
    OK();
}
