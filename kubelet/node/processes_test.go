package node

import (
	"os"
	"path/filepath"
	"testing"
)

// TestProcesses: what there is least of says how many processes there may be.
func TestProcesses(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  int64
	}{
		{nil, 0},
		{map[string]string{"proc/sys/kernel/pid_max": "32768\n", "proc/sys/kernel/threads-max": "192729\n"}, 32768},
		{map[string]string{"proc/sys/kernel/pid_max": "4194304\n", "proc/sys/kernel/threads-max": "192729\n"}, 192729},
		{map[string]string{"proc/sys/kernel/pid_max": "32768\n", "sys/fs/cgroup/pids.max": "max\n"}, 32768},
		{map[string]string{"proc/sys/kernel/pid_max": "32768\n", "sys/fs/cgroup/pids.max": "2000\n"}, 2000},
		{map[string]string{"proc/sys/kernel/pid_max": "32768\n", "sys/fs/cgroup/pids/pids.max": "1000\n"}, 1000},
		{map[string]string{"proc/sys/kernel/pid_max": "odd"}, 0},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := Processes(root); got != c.want {
			t.Errorf("%v: %d, want %d", c.files, got, c.want)
		}
	}
}
