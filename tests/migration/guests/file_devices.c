/* /dev/null, zero, urandom and full. */
#include "guest.h"
static void guest(void)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
	int random = open("/dev/urandom", O_RDONLY), full = open("/dev/full", O_WRONLY);
	barrier();
	char b[8] = "xxxxxxx";
	check(write(null, b, 8) == 8 && read(null, b, 8) == 0);
	check(read(zero, b, 8) == 8 && b[0] == 0 && b[7] == 0);
	check(read(random, b, 8) == 8);
	check(write(full, b, 8) < 0 && errno == ENOSPC);
}
