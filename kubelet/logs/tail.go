package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"hyperkube/internal/bounds"
)

const (
	block = 64 << 10
	// lastBytes is how much of a file is read for its last lines.
	lastBytes = 1 << 20
)

// Tail returns the text of the last lines of a file, at most limit bytes of it; empty when it cannot be read.
func Tail(path string, lines int, limit int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	at, err := tailOffset(f, int64(lines))
	if err != nil {
		return ""
	}
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	at = max(at, info.Size()-lastBytes) // the end is what counts
	data, err := io.ReadAll(io.NewSectionReader(f, at, lastBytes))
	if err != nil {
		return ""
	}
	var out []byte
	for line := range bytes.Lines(data) {
		e, err := Parse(line)
		if err != nil {
			continue
		}
		out = append(out, e.Text...)
		if !e.Partial {
			out = append(out, '\n')
		}
	}
	if int64(len(out)) > limit {
		out = out[int64(len(out))-limit:]
	}
	return string(out)
}

// tailOffset finds where the last n lines begin. Entries that are parts of one line count as one.
func tailOffset(f *os.File, n int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if n <= 0 {
		return info.Size(), nil
	}
	var (
		count int64
		buf   []byte // from end on, the part of the file not yet counted through
		end   = info.Size()
	)
	for pos := end; pos > 0; {
		size := min(pos, block)
		pos -= size
		chunk := make([]byte, size, size+int64(len(buf)))
		if _, err := f.ReadAt(chunk, pos); err != nil && err != io.EOF {
			return 0, fmt.Errorf("reading log: %w", err)
		}
		buf = append(chunk, buf...)
		for {
			line, start := lastLine(buf, pos == 0)
			if line == nil {
				break
			}
			if e, err := Parse(line); err == nil && !e.Partial { // a line torn by a crash is no line
				count++
			}
			if count > n {
				return pos + int64(start) + int64(len(line)), nil
			}
			buf = buf[:start]
		}
		if len(buf) > bounds.LogEntry { // no line of a runtime: nothing of it is kept
			buf = buf[:0]
		}
	}
	return 0, nil
}

// lastLine cuts the last whole line off buf; whole says that buf begins with a line's begin.
func lastLine(buf []byte, whole bool) ([]byte, int) {
	if len(buf) == 0 {
		return nil, 0
	}
	at := bytes.LastIndexByte(buf[:len(buf)-1], '\n')
	if at < 0 && !whole {
		return nil, 0
	}
	return buf[at+1:], at + 1
}
