/* guest: ioctls of a socket as stdin, also one whose argument leads to more memory
 * area: sockets
 * source: socket(7), unix(7), netdevice(7), tcp(7)
 * calls: ioctl
 * stdin: socket
 * on: go -> type "abc"
 * also: static
 * broken-by: ioctl:error=EINVAL:when=2
 */
#include "check.h"
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/mman.h>
#include <termios.h>

int main(void) {
    int n = -1;
    struct termios t;
    ERR(ENOTTY, ioctl(0, TCGETS, &t));
    CHECK(0, ioctl(0, SIOCOUTQ, &n));
    HOLDS(n == 0);
    READY("go");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, ioctl(0, SIOCINQ, &n));
    HOLDS(n == 3);
    errno = 0;
    int got = ioctl(0, SIOCATMARK, &n);
    SAY("SIOCATMARK gives %d, %s", got, strerrorname_np(errno));
    ERR(ENOTTY, ioctl(0, 0x12345678, &n));
    /* The list of interfaces goes where the structure says. */
    static struct ifreq list[64], one;
    struct ifconf c = {.ifc_len = sizeof list, .ifc_req = list};
    memset(list, 0xee, sizeof list);
    CHECK(0, ioctl(0, SIOCGIFCONF, &c));
    HOLDS(c.ifc_len % sizeof *list == 0 && c.ifc_req == list);
    SAY("%zu interfaces", c.ifc_len / sizeof *list);
    for (size_t i = 0; i < c.ifc_len / sizeof *list; i++)
        SAY("%s", list[i].ifr_name);
    strcpy(one.ifr_name, "lo");
    CHECK(0, ioctl(0, SIOCGIFINDEX, &one));
    SAY("lo is %d", one.ifr_ifindex);
    strcpy(one.ifr_name, "nobody");
    ERR(ENODEV, ioctl(0, SIOCGIFINDEX, &one));
    c.ifc_len = sizeof list, c.ifc_buf = (char *)8;
    errno = 0;
    got = ioctl(0, SIOCGIFCONF, &c);
    SAY("a wrong list gives %d, %s", got, strerrorname_np(errno));
    OK();
}
