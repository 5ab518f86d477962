package runtime

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"hyperkube/internal/regular"
)

const (
	saidTail = 8 << 10 // how much of a log's end is looked at
	saidMost = 600     // how much of a line is passed on
)

// lastSaid is the last line of a log after an offset, "" when there is none: what a program
// that ended gave as its reason. Of a line in JSON it is the message and the error.
func lastSaid(path string, from int64) string {
	f, err := regular.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	from = max(0, from, info.Size()-saidTail)
	b, err := io.ReadAll(io.NewSectionReader(f, from, saidTail))
	if err != nil {
		return ""
	}
	b = bytes.TrimSpace(b)
	line := string(b[bytes.LastIndexByte(b, '\n')+1:])
	var entry struct{ Msg, Error string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" {
		line = strings.TrimSuffix(entry.Msg+": "+entry.Error, ": ")
	}
	return strings.ToValidUTF8(line[:min(len(line), saidMost)], "")
}
