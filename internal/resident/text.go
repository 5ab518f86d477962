package resident

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropFiles unmaps the pages of files that are mapped read-only, as the program's
// code and constants and etcd's database are, and says how many bytes were
// mapped. Those still in use come back from the page cache at the next touch;
// those that only the start or a burst needed, most of them, do not.
func DropFiles() (int, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, fmt.Errorf("reading the mappings: %w", err)
	}
	defer f.Close()
	areas, err := clean(f)
	if err != nil {
		return 0, err
	}
	dropped := 0
	for _, a := range areas {
		page := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), a.start)), a.end-a.start)
		if err := unix.Madvise(page, unix.MADV_DONTNEED); err != nil {
			return dropped, fmt.Errorf("giving back %x-%x: %w", a.start, a.end, err)
		}
		dropped += a.resident
	}
	return dropped, nil
}

// area is a mapping of a file.
type area struct {
	start, end uintptr
	resident   int
}

// clean finds the mappings that are the same as their file: not writable and with
// no page of the process's own.
func clean(smaps io.Reader) ([]area, error) {
	var out []area
	var now *area
	own := 0
	done := func() {
		if now != nil && own == 0 && now.resident > 0 {
			out = append(out, *now)
		}
		now, own = nil, 0
	}
	s := bufio.NewScanner(smaps)
	for s.Scan() {
		name, rest, found := bytes.Cut(s.Bytes(), []byte(":"))
		if found && !bytes.ContainsRune(name, ' ') {
			if now == nil {
				continue
			}
			kb, _ := strconv.Atoi(string(bytes.Trim(rest, " kB")))
			switch string(name) {
			case "Rss":
				now.resident = kb << 10
			case "Anonymous":
				own += kb
			}
			continue
		}
		done()
		a, ok, err := heading(s.Text())
		if err != nil {
			return nil, err
		}
		if ok {
			now = &a
		}
	}
	done()
	return out, s.Err()
}

// heading reads the first line of a mapping; false if it cannot be dropped.
func heading(line string) (area, bool, error) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") || !strings.HasPrefix(fields[1], "r-") {
		return area{}, false, nil
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return area{}, false, fmt.Errorf("mapping %q: %w", line, err)
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end <= start {
		return area{}, false, fmt.Errorf("mapping %q ends before it begins", line)
	}
	return area{start: uintptr(start), end: uintptr(end)}, true, nil
}
