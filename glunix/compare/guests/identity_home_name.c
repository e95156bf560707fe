/* guest: a job shows the name of the machine that its user sits at
 * area: identity
 * source: gethostname(2), GLUnix paper 7.3
 * calls: uname
 * broken-by: uname:error=EFAULT
 */
#include "check.h"

int main(void) {
    char text[256] = "";
    CHECK(0, gethostname(text, sizeof text));
    HOLDS(text[0] != 0);
    SAY("on %s", text); /* not the same everywhere, but the same as natively */
    OK();
}
