/* guest: a program that is started without any locale variable has none
 * area: identity
 * source: locale(7), environ(7)
 * calls: write
 * start: unset LANG LANGUAGE LC_ALL LC_CTYPE
 */
#include "check.h"
int main(void) {
    extern char **environ;
    for (char **at = environ; *at; at++)
        if (!strncmp(*at, "LC_", 3) || !strncmp(*at, "LANG", 4) || !strncmp(*at, "PYTHON", 6))
            check_failed(__LINE__, "expected no locale, got %s", *at);
    HOLDS(getenv("LC_CTYPE") == NULL);
    OK();
}
