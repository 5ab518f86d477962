// Package logs reads and rotates container logs.
//
//	<root>/<ns>_<pod>_<uid>/<container>/<attempt>.log      the runtime appends here, one line an entry:
//	                                                       2026-11-20T21:40:00.123456789Z stdout F the text
//	                                                       (P instead of F: the line goes on in the next entry)
//	.../<attempt>.log.20261120-214000                      rotated files, older ones gzipped (.gz)
package logs

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Entry is one line of a log file.
type Entry struct {
	Time    time.Time
	Stream  string // stdout or stderr
	Partial bool   // the text goes on in the next entry
	Text    []byte // without the line end
}

var errFormat = errors.New("not a log entry")

// Parse reads one line, with or without its line end. The text shares line's memory.
func Parse(line []byte) (Entry, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return Entry{}, fmt.Errorf("%w: no time stamp", errFormat)
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Entry{}, fmt.Errorf("%w: time stamp: %w", errFormat, err)
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || (string(stream) != "stdout" && string(stream) != "stderr") {
		return Entry{}, fmt.Errorf("%w: stream %q", errFormat, stream)
	}
	tag, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok && len(tag) == 0 {
		return Entry{}, fmt.Errorf("%w: no tag", errFormat)
	}
	first, _, _ := bytes.Cut(tag, []byte(":"))
	return Entry{Time: t, Stream: string(stream), Partial: string(first) == "P", Text: text}, nil
}
