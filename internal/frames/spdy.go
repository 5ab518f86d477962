package frames

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/moby/spdystream/spdy"

	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
)

// spdyReader passes the frames of a SPDY connection on.
//
//	control frame ─▶ read whole, as the library will read it ─▶ passed on as it is
//	data frame    ─▶ in pieces; those of a terminal's sizes are looked over
type spdyReader struct {
	from   *bufio.Reader
	framer *spdy.Framer // knows the connection's compressed headers
	frame  bytes.Buffer // what the framer reads
	sizes  map[spdy.StreamId]*sizeMeter

	out   []byte // to be passed on next
	id    spdy.StreamId
	flags byte // of the data frame
	left  int  // of its payload
	err   error
}

// A frame's head has 8 bytes, the length in the last three of them.
const (
	spdyHead   = 8
	spdyLength = 1<<24 - 1
	control    = 0x80
)

func newSPDY(from *bufio.Reader) *spdyReader {
	s := &spdyReader{from: from, sizes: map[spdy.StreamId]*sizeMeter{}}
	s.framer, s.err = spdy.NewFramerWithOptions(io.Discard, &s.frame, spdy.WithMaxHeaderCount(bounds.StreamHeaders),
		spdy.WithMaxHeaderFieldSize(bounds.StreamHeader), spdy.WithMaxControlFramePayloadSize(bounds.ControlFrame))
	return s
}

// Read implements io.Reader. After an error, nothing more is read.
func (s *spdyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(s.out) == 0 && s.err == nil {
		s.err = s.next()
	}
	if len(s.out) == 0 {
		return 0, s.err
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// next makes out the next control frame or piece of a data frame.
func (s *spdyReader) next() error {
	if s.left > 0 {
		return s.piece()
	}
	head := make([]byte, spdyHead)
	if _, err := io.ReadFull(s.from, head); err != nil {
		return err
	}
	word := binary.BigEndian.Uint32(head[4:])
	length := int(word & spdyLength)
	if head[0]&control != 0 {
		return s.control(head, length)
	}
	s.id, s.flags, s.left = spdy.StreamId(binary.BigEndian.Uint32(head)), head[4], length
	return s.piece()
}

// piece is a data frame of what comes next of the one that was sent; its flags are those of the last.
func (s *spdyReader) piece() error {
	n := min(s.left, bounds.DataFrame)
	s.left -= n
	b := make([]byte, spdyHead+n)
	binary.BigEndian.PutUint32(b, uint32(s.id))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	if s.left == 0 {
		b[4] = s.flags
	}
	if _, err := io.ReadFull(s.from, b[spdyHead:]); err != nil {
		return unexpected(err)
	}
	if m := s.sizes[s.id]; m != nil {
		if err := m.count(b[spdyHead:]); err != nil {
			return err
		}
	}
	s.out = b
	return nil
}

// control passes a frame that the library reads as exactly what it says to be: what it would
// leave over, it would take for the next frame.
func (s *spdyReader) control(head []byte, length int) error {
	if length > bounds.ControlFrame {
		return fmt.Errorf("a SPDY control frame of %d bytes is too large: at most %d", length, bounds.ControlFrame)
	}
	b := make([]byte, spdyHead+length)
	copy(b, head)
	if _, err := io.ReadFull(s.from, b[spdyHead:]); err != nil {
		return unexpected(err)
	}
	s.frame.Reset()
	s.frame.Write(b)
	var f spdy.Frame
	err := supervise.Contain("reading SPDY", func() (err error) { f, err = s.framer.ReadFrame(); return err })
	if err != nil {
		return fmt.Errorf("SPDY frame: %w", unexpected(err))
	}
	if s.frame.Len() > 0 {
		return fmt.Errorf("a SPDY frame has %d bytes too many", s.frame.Len())
	}
	if syn, ok := f.(*spdy.SynStreamFrame); ok && syn.Headers.Get("streamType") == "resize" {
		if len(s.sizes) >= bounds.ResizeStreams {
			return errors.New("too many streams for the sizes of a terminal")
		}
		s.sizes[syn.StreamId] = &sizeMeter{}
	}
	s.out = b
	return nil
}

// unexpected: an end within a frame is not the connection's.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
