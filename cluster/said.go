package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"hyperkube/internal/regular"
)

// saidTail is how much of the log's end is looked at.
const saidTail = 64 << 10

// logEnd is where what a process is about to log begins.
func logEnd(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// whyEnded is why a process that logged from an offset on has ended: in its own words, or
// by what ended it. Words of an earlier one are none of it.
func whyEnded(path string, from int64, exit error) string {
	b, err := readTail(path, from)
	if err != nil {
		return fmt.Sprintf("its log cannot be read: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, prefix := range []string{"hyperkube: ", "panic: ", "fatal error: "} {
			if said, ok := strings.CutPrefix(lines[i], prefix); ok {
				return strings.TrimPrefix(prefix, "hyperkube: ") + said
			}
		}
	}
	var status *exec.ExitError
	if !errors.As(exit, &status) {
		return "its process ended without a word"
	}
	// The keeper passes a signal on as a shell does.
	if code := status.ExitCode(); code > 128 {
		return fmt.Sprintf("its process was ended by signal %d (%s)", code-128, syscall.Signal(code-128))
	}
	return fmt.Sprintf("its process ended without a word (%v)", status)
}

// readTail reads the end of a log from an offset on, all of it when it was rotated since.
func readTail(path string, from int64) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < from {
		from = 0
	}
	return io.ReadAll(io.NewSectionReader(f, max(from, info.Size()-saidTail), saidTail))
}
