/* guest: the personality is home's, its own, and its children's
 * area: identity
 * source: personality(2)
 * calls: personality
 * broken-by: personality:retval=0
 */
#include "check.h"
#include <sys/personality.h>
#include <sys/utsname.h>

int main(void) {
    int had = personality(0xffffffff);
    printf("personality %#x\n", had);
    HOLDS(personality(had | ADDR_NO_RANDOMIZE | UNAME26) == had);
    HOLDS(personality(0xffffffff) == (had | ADDR_NO_RANDOMIZE | UNAME26));
    struct utsname name;
    CHECK(0, uname(&name));
    HOLDS(strncmp(name.release, "2.6.", 4) == 0);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(personality(had) == (had | ADDR_NO_RANDOMIZE | UNAME26));
        HOLDS(personality(0xffffffff) == had);
        _exit(0);
    }
    JOIN(pid);
    HOLDS(personality(0xffffffff) == (had | ADDR_NO_RANDOMIZE | UNAME26));
    OK();
}
