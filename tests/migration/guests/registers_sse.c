/* SSE and AVX registers that are live while the program spins, and the control words. */
#include "guest.h"
#include <immintrin.h>
static void guest(void)
{
	float in[8] = {1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5}, out[8];
	int wide = __builtin_cpu_supports("avx");
	unsigned csr = _mm_getcsr();
	_mm_setcsr(csr | 0x6000);
	unsigned short word, round_down = 0x077f;
	__asm__ volatile("fldcw %0" : : "m"(round_down));
	say_ready();
	while (!gate_is_open()) {
		if (wide)
			__asm__ volatile("vmovups %1, %%ymm13\n mov $300000, %%ecx\n"
					 "1: dec %%ecx\n jnz 1b\n vmovups %%ymm13, %0"
					 : "=m"(out) : "m"(in) : "ecx", "xmm13");
		else
			__asm__ volatile("movups %1, %%xmm13\n mov $300000, %%ecx\n"
					 "1: dec %%ecx\n jnz 1b\n movups %%xmm13, %0"
					 : "=m"(out) : "m"(in) : "ecx", "xmm13");
		check(memcmp(in, out, wide ? 32 : 16) == 0);
	}
	check(_mm_getcsr() == (csr | 0x6000));
	__asm__ volatile("fnstcw %0" : "=m"(word));
	check(word == round_down);
}
