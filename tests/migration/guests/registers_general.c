/* General registers that are live in a loop without memory. */
#include "guest.h"
static void guest(void)
{
	say_ready();
	while (!gate_is_open()) {
		uint64_t sum;
		__asm__ volatile(
			"mov $1, %%rbx\n mov $2, %%rcx\n mov $3, %%rdx\n mov $4, %%rsi\n mov $5, %%rdi\n"
			"mov $6, %%r8\n mov $7, %%r9\n mov $8, %%r10\n mov $9, %%r11\n mov $10, %%r12\n"
			"mov $11, %%r13\n mov $12, %%r14\n mov $13, %%r15\n mov $500000, %%rax\n"
			"1: dec %%rax\n jnz 1b\n"
			"add %%rbx, %%rax\n add %%rcx, %%rax\n add %%rdx, %%rax\n add %%rsi, %%rax\n"
			"add %%rdi, %%rax\n add %%r8, %%rax\n add %%r9, %%rax\n add %%r10, %%rax\n"
			"add %%r11, %%rax\n add %%r12, %%rax\n add %%r13, %%rax\n add %%r14, %%rax\n"
			"add %%r15, %%rax\n"
			: "=a"(sum) : : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
			  "r12", "r13", "r14", "r15");
		check(sum == 91);
	}
}
