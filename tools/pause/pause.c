/*
 * pause holds a pod's namespaces open. It is the first process of the sandbox:
 * it sleeps, reaps the orphans that a shared pid namespace gives it, and leaves
 * at SIGINT or SIGTERM. No libc, so that a pod costs a few kilobytes.
 */
#include <asm/unistd.h>

#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define WNOHANG 1

#if defined(__x86_64__)
static long call4(long n, long a, long b, long c, long d) {
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
static long call4(long n, long a, long b, long c, long d) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "pause knows amd64 and arm64"
#endif

#define BIT(s) (1UL << ((s)-1))

void _start(void) {
	/* Block the three signals and take them one by one: no handlers, no races. */
	unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);
	call4(__NR_rt_sigprocmask, 0, (long)&set, 0, sizeof set);
	for (;;) {
		long s = call4(__NR_rt_sigtimedwait, (long)&set, 0, 0, sizeof set);
		if (s == SIGINT || s == SIGTERM)
			call4(__NR_exit_group, 0, 0, 0, 0);
		if (s == SIGCHLD)
			while (call4(__NR_wait4, -1, 0, WNOHANG, 0) > 0)
				;
	}
}
