/* eventfd: a count, and a semaphore. */
#include "guest.h"
#include <sys/eventfd.h>
static void guest(void)
{
	int plain = eventfd(5, EFD_NONBLOCK), semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	eventfd_write(plain, 37);
	barrier();
	eventfd_t v;
	check(eventfd_read(plain, &v) == 0 && v == 42);
	check(eventfd_read(plain, &v) < 0 && errno == EAGAIN);
	for (int i = 0; i < 3; i++)
		check(eventfd_read(semaphore, &v) == 0 && v == 1);
	check(eventfd_read(semaphore, &v) < 0 && errno == EAGAIN);
}
