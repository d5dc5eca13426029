// SPDX-License-Identifier: GPL-2.0
/*
 * Looks for vector registers that change under a process's feet.
 *
 * Usage: register-leak SECONDS PROCESSES [inject]
 *
 * Each process fills all vector registers with a pattern of its own, lets time pass in a loop or in a system call, and
 * compares. Whatever else ran meanwhile, in another process or in another domain on the same CPU, must not show. A
 * hypervisor that switches these registers lazily fails here under QEMU's emulation, and then no data check in a guest
 * can be believed. With "inject" the program changes a register itself, to show that it would be found.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REGISTERS 16

struct vectors {
	uint8_t byte[REGISTERS][32];
} __attribute__((aligned(32)));

#define EACH(one) one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11) one(12) one(13) \
	one(14) one(15)
#define LOAD_AVX(n) "vmovdqa " #n "*32(%[in]), %%ymm" #n "\n\t"
#define SAVE_AVX(n) "vmovdqa %%ymm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_SSE(n) "movdqa " #n "*32(%[in]), %%xmm" #n "\n\t"
#define SAVE_SSE(n) "movdqa %%xmm" #n ", " #n "*32(%[out])\n\t"
#define CLOBBERED "rax", "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
	"xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* Count down, then sched_yield(2), then count down again; the compiler must not use a vector register in between. */
#define PASS_TIME \
	"mov %[spins], %%rcx\n1:\tdec %%rcx\n\tjnz 1b\n\t" \
	"mov $24, %%eax\n\tsyscall\n\t" \
	"mov %[spins], %%rcx\n2:\tdec %%rcx\n\tjnz 2b\n\t"
#define INJECT "test %[inject], %[inject]\n\tjz 3f\n\tpxor %%xmm5, %%xmm5\n3:\n\t"

static void hold_avx(const struct vectors *in, struct vectors *out, uint64_t spins, uint64_t inject)
{
	asm volatile(EACH(LOAD_AVX) PASS_TIME INJECT EACH(SAVE_AVX) "vzeroupper"
		     : : [in] "r"(in), [out] "r"(out), [spins] "r"(spins), [inject] "r"(inject) : CLOBBERED);
}

static void hold_sse(const struct vectors *in, struct vectors *out, uint64_t spins, uint64_t inject)
{
	asm volatile(EACH(LOAD_SSE) PASS_TIME INJECT EACH(SAVE_SSE)
		     : : [in] "r"(in), [out] "r"(out), [spins] "r"(spins), [inject] "r"(inject) : CLOBBERED);
}

/* Two rounds in three are short, so that many switches happen inside the system call; the third meets timer ticks. */
static int watch(int seconds, unsigned int id, int inject)
{
	static struct vectors in, out;
	int avx = __builtin_cpu_supports("avx");
	long rounds = 0, bad = 0;
	time_t end = time(NULL) + seconds;

	while (time(NULL) < end) {
		size_t width = avx && rounds % 2 ? 32 : 16;

		for (int i = 0; i < REGISTERS; i++)
			memset(in.byte[i], (int)(id * 61 + i * 13 + rounds), sizeof(in.byte[i]));
		memset(&out, 0, sizeof(out));
		(width == 32 ? hold_avx : hold_sse)(&in, &out, rounds % 3 ? 200 : 300000, inject && rounds == 7);
		for (int i = 0; i < REGISTERS; i++) {
			if (!memcmp(in.byte[i], out.byte[i], width))
				continue;
			if (bad++ < 3)
				printf("process %u, round %ld: register %d has %02x, not %02x\n", id, rounds, i,
				       out.byte[i][0], in.byte[i][0]);
		}
		rounds++;
	}
	printf("process %u: %ld rounds, %ld bad registers, %s\n", id, rounds, bad, avx ? "avx" : "sse");
	return bad || !rounds;
}

int main(int argc, char **argv)
{
	int failed = 0, status;

	if (argc < 3) {
		fprintf(stderr, "Usage: register-leak SECONDS PROCESSES [inject]\n");
		return 2;
	}
	for (int id = 1; id <= atoi(argv[2]); id++) {
		if (fork() == 0) {
			status = watch(atoi(argv[1]), id, argc > 3);
			fflush(stdout);
			_exit(status);
		}
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	printf("register-leak: %s\n", failed ? "LEAK" : "none");
	return failed;
}
