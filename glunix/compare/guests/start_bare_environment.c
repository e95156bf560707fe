/* guest: a program that is started with no environment finds nothing in it
 * area: identity
 * source: environ(7), env(1)
 * calls: write
 * start: exec env -i "$@"
 */
#include "check.h"
int main(void) {
    extern char **environ;
    for (char **at = environ; *at; at++)
        if (strncmp(*at, "GLUNIX_", 7))
            SAY("%s", *at);
    HOLDS(getenv("PATH") == NULL && getenv("HOME") == NULL && getenv("PWD") == NULL);
    OK();
}
