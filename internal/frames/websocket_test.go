package frames

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"hyperkube/internal/bounds"
)

// frame is one as a client sends it; announced is the length its head tells.
func frame(payload []byte, announced uint64, long bool) []byte {
	head := []byte{0x82, 0x80}
	switch {
	case long || announced > 1<<16-1:
		head = binary.BigEndian.AppendUint64(append(head[:1], 0x80|127), announced)
	case announced > 125:
		head = binary.BigEndian.AppendUint16(append(head[:1], 0x80|126), uint16(announced))
	default:
		head[1] |= byte(announced)
	}
	return append(append(head, 1, 2, 3, 4), payload...)
}

// TestFramesPass: what a client sends passes unchanged, however it is read.
func TestFramesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent []byte
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			n := rapid.SampledFrom([]int{0, 1, 125, 126, 127, 4096, 70_000}).Draw(t, "length")
			sent = append(sent, frame(bytes.Repeat([]byte{'x'}, n), uint64(n), rapid.Bool().Draw(t, "long head"))...)
		}
		var from io.Reader = &webSocket{from: bufio.NewReader(bytes.NewReader(sent))}
		if rapid.Bool().Draw(t, "by halves") {
			from = iotest.HalfReader(from)
		}
		got, err := io.ReadAll(from)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(sent), err)
		}
	})
}

// TestLargeFrame: nothing of a frame that is too large is passed on, what came before is.
func TestLargeFrame(t *testing.T) {
	for name, n := range map[string]uint64{"one byte more": bounds.Frame + 1, "the most there is": 1<<64 - 1} {
		first := frame([]byte("size"), 4, false)
		sent := append(bytes.Clone(first), frame([]byte("begins"), n, true)...)
		got, err := io.ReadAll(&webSocket{from: bufio.NewReader(bytes.NewReader(sent))})
		if err == nil || !strings.Contains(err.Error(), "too large") || !bytes.Equal(got, first) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	whole := frame(make([]byte, bounds.Frame), bounds.Frame, true)
	if got, err := io.ReadAll(&webSocket{from: bufio.NewReader(bytes.NewReader(whole))}); err != nil || len(got) != len(whole) {
		t.Errorf("as large as may be: %d bytes, %v", len(got), err)
	}
}
