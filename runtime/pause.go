package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"hyperkube/internal/regular"
)

// seccompProfile is a profile as runtimes read it from a file.
type seccompProfile struct {
	DefaultAction string        `json:"defaultAction"`
	DefaultErrno  uint          `json:"defaultErrnoRet"`
	Syscalls      []seccompRule `json:"syscalls"`
}

type seccompRule struct {
	Names  []string `json:"names"`
	Action string   `json:"action"`
}

// pauseCalls are the system calls of the carried pause program; runcCalls are
// those that runc makes, on the thread that becomes it, between loading the
// filter and the exec, and what Go's scheduler may slip in between.
var (
	pauseCalls = []string{"rt_sigprocmask", "rt_sigtimedwait", "wait4", "exit_group"}
	runcCalls  = []string{
		"execve", "execveat", "exit", "read", "write", "close", "openat", "fcntl", "fstat", "newfstatat", "readlinkat", "lseek",
		"prctl", "capget", "capset", "getpid", "gettid", "getppid", "tgkill", "kill", "setuid", "setgid", "setgroups", "setresuid", "setresgid",
		"futex", "nanosleep", "clock_nanosleep", "sched_yield", "sched_getaffinity", "rt_sigaction", "rt_sigreturn", "sigaltstack", "restart_syscall",
		"mmap", "munmap", "madvise", "mprotect", "brk", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "getrandom", "close_range", "dup3",
		"clone", "clone3", "set_robust_list", "rseq", "fchdir", "chdir", "statfs", "fstatfs", "seccomp", "getuid", "geteuid",
		"openat2", "getdents64", "statx", "faccessat", "faccessat2", "getcwd", "pread64", "dup",
	}
)

// WritePauseProfile writes the seccomp profile of the carried pause program to
// path. It allows a tenth of what the default profile does, so it also loads in
// a fraction of the time: compiling the default one is a large part of what a
// sandbox costs.
func WritePauseProfile(path string) error {
	b, err := json.Marshal(seccompProfile{DefaultAction: "SCMP_ACT_ERRNO", DefaultErrno: 1, Syscalls: []seccompRule{
		{Names: pauseCalls, Action: "SCMP_ACT_ALLOW"}, {Names: runcCalls, Action: "SCMP_ACT_ALLOW"},
	}})
	if err != nil {
		return fmt.Errorf("rendering the pause program's profile: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the pause program's profile: %w", err)
	}
	if err := regular.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("writing the pause program's profile: %w", err)
	}
	return nil
}
