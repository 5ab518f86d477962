/*
 * keep starts a cluster's process again when it dies of what cannot be caught in it: a
 * fatal error, the kernel's out-of-memory killer, kill -9.
 *
 *	keep LOG NAME ARGUMENTS...		runs the program that is open as file 4
 *	keep --adopt LOG NAME ARGUMENTS...	the same, once the process that file 5 stands for has ended:
 *						it serves already, and its keeper is gone
 *
 * Until the process says with SIGUSR1 that it serves, its end is the end of both: a
 * cluster that cannot start tells why, once. From then on it is started again, after a
 * pause that doubles from one second to ten and begins anew after a minute of life.
 * It ends for good when it returns 0, or when keep is told to end by SIGTERM or SIGINT,
 * which is passed on. The log is opened anew for each start, as it may have been rotated.
 *
 * No libc, no heap: it costs some twenty kilobytes. Everything it owns is on its stack.
 */
#include <asm/unistd.h>

#define SIGINT 2
#define SIGKILL 9
#define SIGUSR1 10
#define SIGTERM 15
#define SIGCHLD 17
#define SIG_SETMASK 2
#define WNOHANG 1
#define EAGAIN 11
#define AT_FDCWD (-100)
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_APPEND 02000
#define O_CLOEXEC 02000000
#define F_SETFD 2
#define FD_CLOEXEC 1
#define CLOCK_BOOTTIME 7
#define PROGRAM 4 /* the open file that is run */
#define ADOPTED 5 /* the process that is kept though another started it */
#define POLLIN 1
#define LONGEST 10 /* seconds of pause: a disk that has room again is not left waiting */
#define SOUND 60  /* seconds of life after which the pause begins anew */
#define PATIENCE 60 /* seconds that a process may take to end when it is told to */

#if defined(__x86_64__)
static long call(long n, long a, long b, long c, long d, long e) {
	long r;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return r;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n\thlt\n");
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d, long e) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl run\n");
#else
#error "keep knows amd64 and arm64"
#endif

struct span { long sec, nsec; };
struct watched { int file; short want, got; };

#define BIT(s) (1UL << ((s)-1))
static const unsigned long awaited = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD) | BIT(SIGUSR1);

static void leave(long code) {
	for (;;)
		call(__NR_exit_group, code, 0, 0, 0, 0);
}

static long now(void) {
	struct span t = {0, 0};
	call(__NR_clock_gettime, CLOCK_BOOTTIME, (long)&t, 0, 0, 0);
	return t.sec;
}

/* next is the signal that comes within sec seconds, 0 when none does; sec < 0 waits for ever. */
static long next(long sec) {
	struct span t = {sec, 0};
	long s = call(__NR_rt_sigtimedwait, (long)&awaited, 0, sec < 0 ? 0 : (long)&t, sizeof awaited, 0);
	return s > 0 ? s : 0;
}

/* outlive waits for the end of a process that is no child. It says whether it was told to end it. */
static long outlive(void) {
	long ending = 0;
	struct watched w[2] = {{ADOPTED, POLLIN, 0}, {call(__NR_signalfd4, -1, (long)&awaited, sizeof awaited, O_CLOEXEC, 0), POLLIN, 0}};
	for (;;) {
		struct span t = {1, 0};
		long n = call(__NR_ppoll, (long)w, 2, ending || w[1].file < 0 ? (long)&t : 0, 0, 0);
		if (n > 0 && w[0].got)
			break;
		for (long s; (s = next(0)) > 0;)
			if ((s == SIGTERM || s == SIGINT) && !ending) {
				ending = now();
				call(__NR_pidfd_send_signal, ADOPTED, SIGTERM, 0, 0, 0);
			}
		if (ending && now() - ending >= PATIENCE)
			call(__NR_pidfd_send_signal, ADOPTED, SIGKILL, 0, 0, 0);
	}
	call(__NR_close, w[1].file, 0, 0, 0, 0);
	call(__NR_close, ADOPTED, 0, 0, 0, 0);
	return ending;
}

static void put(const char *s) {
	long n = 0;
	while (s[n])
		n++;
	call(__NR_write, 2, (long)s, n, 0, 0);
}

static void number(long v) {
	char b[24];
	int i = sizeof b - 1;
	b[i] = 0;
	do
		b[--i] = '0' + v % 10;
	while ((v /= 10) > 0);
	put(b + i);
}

/* tell leads errors to the log that is there now. */
static void tell(const char *log) {
	long f = call(__NR_openat, AT_FDCWD, (long)log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, 0);
	if (f < 0)
		return; /* the one before does */
	call(__NR_dup3, f, 2, 0, 0, 0);
	call(__NR_close, f, 0, 0, 0, 0);
}

static int same(const char *a, const char *b) {
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* rest tells why the process is started again, and in how long. It does not return when it is told to end meanwhile. */
static void rest(const char *log, const char *how, long code, long pause) {
	tell(log);
	put("hyperkube-keep: the cluster's process ended");
	put(how);
	if (code >= 0)
		number(code);
	put("; starting it again in ");
	number(pause);
	put(" s\n");
	for (long until = now() + pause, left; (left = until - now()) > 0;) {
		long s = next(left);
		if (s == SIGTERM || s == SIGINT)
			leave(0);
	}
	tell(log);
}

static long start(char **argv, char **envp) {
	/* fork */
	long pid = call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid != 0)
		return pid;
	unsigned long none = 0;
	call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none, 0);
	call(__NR_fcntl, PROGRAM, F_SETFD, FD_CLOEXEC, 0, 0);
	call(__NR_execve, (long)"/proc/self/fd/4", (long)argv, (long)envp, 0, 0);
	put("hyperkube-keep: the program cannot be run\n");
	leave(127);
	return 0;
}

/* quiet leads what is printed nowhere: the one who read it has gone. */
static void quiet(void) {
	long f = call(__NR_openat, AT_FDCWD, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0);
	if (f < 0)
		return;
	call(__NR_dup3, f, 0, 0, 0, 0);
	call(__NR_dup3, f, 1, 0, 0, 0);
	call(__NR_close, f, 0, 0, 0, 0);
}

__attribute__((used)) void run(long *sp) {
	long argc = sp[0];
	char **argv = (char **)(sp + 1), **envp = argv + argc + 1;
	long adopt = argc > 1 && same(argv[1], "--adopt");
	argv += adopt;
	if (argc - adopt < 3) {
		put("usage: hyperkube-keep [--adopt] LOG NAME ARGUMENTS...\n");
		leave(2);
	}
	const char *log = argv[1];
	/* All but SIGKILL is blocked; those that matter are taken one by one: no handlers, no races. */
	unsigned long all = ~0UL;
	call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, sizeof all, 0);
	long serves = 0, ending = 0, pause = 1;
	if (adopt) {
		if (outlive())
			leave(0);
		serves = 1;
		rest(log, "", -1, pause);
	}
	for (;;) {
		long began = now(), status = 0;
		long pid = start(argv + 2, envp);
		for (long running = pid > 0; running;) {
			long left = ending ? ending + PATIENCE - now() : -1;
			long s = ending && left <= 0 ? 0 : next(left);
			if (s == 0 && ending)
				call(__NR_kill, pid, SIGKILL, 0, 0, 0);
			if (s == 0 && ending)
				s = next(-1);
			if (s == SIGUSR1 && !serves) {
				serves = 1;
				quiet();
			}
			if ((s == SIGTERM || s == SIGINT) && !ending) {
				ending = now();
				call(__NR_kill, pid, SIGTERM, 0, 0, 0);
			}
			long st = 0;
			for (long p; (p = call(__NR_wait4, -1, (long)&st, WNOHANG, 0, 0)) > 0;)
				if (p == pid) {
					status = st;
					running = 0;
				}
		}
		long code = pid < 0 ? 1 : (status & 0x7f) ? 128 + (status & 0x7f) : status >> 8 & 0xff;
		if (ending || code == 0 || !serves)
			leave(code);
		if (now() - began >= SOUND)
			pause = 1;
		rest(log, status & 0x7f ? ", signal " : ", exit code ", status & 0x7f ? status & 0x7f : code, pause);
		if ((pause *= 2) > LONGEST)
			pause = LONGEST;
	}
}
