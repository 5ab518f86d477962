package frames

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"hyperkube/internal/bounds"
)

// webSocket passes a WebSocket's bytes on and knows where its frames begin.
type webSocket struct {
	from *bufio.Reader
	left uint64 // of the frame's payload
	head []byte // read and not yet passed on
}

// Read implements io.Reader. It never passes on the head of a frame that is too large.
func (f *webSocket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(f.head) == 0 && f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	if uint64(len(p)) > f.left {
		p = p[:f.left]
	}
	n, err := f.from.Read(p)
	f.left -= uint64(n)
	return n, err
}

// next reads the head of a frame (RFC 6455, 5.2).
func (f *webSocket) next() error {
	head := make([]byte, 2, 14)
	if _, err := io.ReadFull(f.from, head); err != nil {
		return err
	}
	more := 0
	switch length := head[1] & 0x7f; length {
	case 126:
		more = 2
	case 127:
		more = 8
	default:
		f.left = uint64(length)
	}
	masked := 0
	if head[1]&0x80 != 0 {
		masked = 4
	}
	head = head[:2+more+masked]
	if _, err := io.ReadFull(f.from, head[2:]); err != nil {
		return err
	}
	switch more {
	case 2:
		f.left = uint64(binary.BigEndian.Uint16(head[2:]))
	case 8:
		f.left = binary.BigEndian.Uint64(head[2:])
	}
	if f.left > bounds.Frame {
		return fmt.Errorf("a WebSocket frame of %d bytes is too large: at most %d", f.left, bounds.Frame)
	}
	f.head = head
	return nil
}
