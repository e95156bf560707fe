/* guest: page size, processors, memory: sysconf, /proc and the calls agree
 * area: identity
 * source: sysconf(3), sched_getaffinity(2), sysinfo(2)
 * calls: sched_getaffinity, sysinfo, sched_setaffinity, getcpu|sched_getaffinity
 * broken-by: sched_getaffinity:error=EFAULT
 */
#include "check.h"
#include <sched.h>
#include <sys/sysinfo.h>

int main(void) {
    cpu_set_t set, one, got;
    struct sysinfo info;
    CHECK(4096, sysconf(_SC_PAGESIZE));
    HOLDS(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(0, sched_getaffinity(0, sizeof set, &set));
    HOLDS(CPU_COUNT(&set) >= 1 && CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &set))
            CPU_SET(cpu, &one);
    CHECK(0, sched_setaffinity(0, sizeof one, &one));
    CHECK(0, sched_getaffinity(0, sizeof got, &got));
    HOLDS(CPU_EQUAL(&one, &got) && CPU_ISSET(sched_getcpu(), &one));
    CPU_ZERO(&one);
    ERR(EINVAL, sched_setaffinity(0, sizeof one, &one));
    CHECK(0, sched_setaffinity(0, sizeof set, &set));
    CHECK(0, sysinfo(&info));
    HOLDS(info.procs >= 1 && info.uptime >= 1);
    HOLDS(info.totalram * info.mem_unit == (unsigned long)sysconf(_SC_PHYS_PAGES) * 4096);
    OK();
}
