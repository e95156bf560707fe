/* guest: the NIS domain name is home's, by every way that tells it
 * area: identity
 * source: getdomainname(2), uname(2), proc(5) /proc/sys/kernel/domainname
 * calls: uname
 * broken-by: uname:error=EFAULT
 */
#include "check.h"
#include <sys/utsname.h>

int main(void) {
    char told[128] = "", read_there[128] = "";
    struct utsname name;
    CHECK(0, getdomainname(told, sizeof told));
    CHECK(0, uname(&name));
    FILE *file = fopen("/proc/sys/kernel/domainname", "r");
    HOLDS(file && fgets(read_there, sizeof read_there, file));
    read_there[strcspn(read_there, "\n")] = 0;
    HOLDS(strcmp(told, name.domainname) == 0);
    HOLDS(strcmp(told, read_there) == 0);
    printf("domain %s\n", told);
    OK();
}
