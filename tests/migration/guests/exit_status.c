/* What ends by itself ends with its own status; also after several moves. */
#include "guest.h"
static void guest(void)
{
	for (int i = 0; i < 1; i++)
		barrier();
	printf("PASS\n");
	fflush(stdout);
	exit(0);
}
