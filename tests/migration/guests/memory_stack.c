/* The stack: deep frames survive, and it still grows. */
#include "guest.h"
static int deep(int n)
{
	volatile char here[3000];
	memset((char *)here, n, sizeof here);
	int below = n ? deep(n - 1) : (barrier(), 0);
	for (size_t i = 0; i < sizeof here; i++)
		check(here[i] == (char)n);
	return below + 1;
}
static int deeper(int n)
{
	volatile char here[8192];
	here[0] = here[8191] = n;
	return n ? deeper(n - 1) + here[0] - n + 1 : here[8191];
}
static void guest(void)
{
	check(deep(40) == 41);
	check(deeper(120) == 120);
}
