/* /proc/self is the program's own: its executable, arguments, environment, numbers. */
#include "guest.h"
#include <sys/auxv.h>
static void guest(void)
{
	char exe[4096] = "", back[4096] = "", line[4096], later[4096];
	check(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, line, sizeof line);
	close(fd);
	barrier();
	check(readlink("/proc/self/exe", back, sizeof back - 1) > 0 && strcmp(exe, back) == 0);
	fd = open("/proc/self/cmdline", O_RDONLY);
	check(read(fd, later, sizeof later) == n && memcmp(line, later, n) == 0);
	close(fd);
	char self[32], own[32];
	check(readlink("/proc/self", self, sizeof self) > 0);
	snprintf(own, sizeof own, "%d", getpid());
	check(strncmp(self, own, strlen(own)) == 0);
	check(getauxval(AT_PAGESZ) == 4096);
}
