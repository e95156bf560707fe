/* guest: LC_ALL=POSIX stays as it is, and no LC_CTYPE is added
 * area: identity
 * source: locale(7), environ(7)
 * calls: write
 * start: unset LANG LANGUAGE LC_CTYPE; export LC_ALL=POSIX
 */
#include "check.h"
int main(void) {
    extern char **environ;
    int found = 0;
    for (char **at = environ; *at; at++)
        if (!strncmp(*at, "LC_", 3) || !strncmp(*at, "LANG", 4))
            found++, SAY("%s", *at);
    CHECK(1, found);
    HOLDS(!strcmp(getenv("LC_ALL"), "POSIX"));
    OK();
}
