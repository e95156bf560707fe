/* Restartable sequences: the kernel goes on to tell the processor's number. */
#include <stddef.h>
#include "guest.h"
extern ptrdiff_t __rseq_offset __attribute__((weak));
extern unsigned __rseq_size __attribute__((weak));
static void guest(void)
{
	barrier();
	if (!&__rseq_size || !__rseq_size)
		return;
	volatile int *cpu = (int *)((char *)__builtin_thread_pointer() + __rseq_offset + 4);
	for (int i = 0; i < 1000; i++) {
		unsigned told;
		int a = *cpu;
		syscall(SYS_getcpu, &told, 0, 0);
		int b = *cpu;
		check(a >= 0 && (a != b || (int)told == a));
	}
	struct { char area[32]; } __attribute__((aligned(32))) again;
	check(syscall(SYS_rseq, &again, 32, 0, 0x53053053) < 0 && (errno == EBUSY || errno == EINVAL));
}
