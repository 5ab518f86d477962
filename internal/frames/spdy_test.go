package frames

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/moby/spdystream/spdy"
	"pgregory.net/rapid"

	"hyperkube/internal/bounds"
)

// client writes SPDY.
type client struct {
	bytes.Buffer
	framer *spdy.Framer
}

func newClient(t rapid.TB) *client {
	c := &client{}
	f, err := spdy.NewFramer(&c.Buffer, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.framer = f
	return c
}

func (c *client) write(t rapid.TB, f spdy.Frame) {
	if err := c.framer.WriteFrame(f); err != nil {
		t.Fatal(err)
	}
}

func (c *client) open(t rapid.TB, id spdy.StreamId, sort string) {
	c.write(t, &spdy.SynStreamFrame{StreamId: id, Headers: http.Header{"Streamtype": {sort}}})
}

func (c *client) send(t rapid.TB, id spdy.StreamId, data string) {
	c.write(t, &spdy.DataFrame{StreamId: id, Data: []byte(data)})
}

// reading is what a library makes of what arrives: control frames, and the bytes of each
// stream up to the next of them.
func reading(t rapid.TB, from io.Reader) (events []string, largest int) {
	f, err := spdy.NewFramer(io.Discard, from)
	if err != nil {
		t.Fatal(err)
	}
	held := map[spdy.StreamId][]byte{}
	for {
		frame, err := f.ReadFrame()
		if d, ok := frame.(*spdy.DataFrame); ok && err == nil {
			largest = max(largest, len(d.Data))
			held[d.StreamId] = append(held[d.StreamId], d.Data...)
			if d.Flags == 0 {
				continue
			}
			frame = &spdy.DataFrame{StreamId: d.StreamId, Flags: d.Flags}
		}
		for id := spdy.StreamId(0); id < 16; id++ {
			if b := held[id]; len(b) > 0 {
				events = append(events, fmt.Sprintf("%d: %d %x", id, len(b), b[len(b)-1]))
				delete(held, id)
			}
		}
		if err != nil {
			return append(events, err.Error()), largest
		}
		switch x := frame.(type) {
		case *spdy.SynStreamFrame:
			events = append(events, fmt.Sprintf("open %d %v", x.StreamId, x.Headers))
		default:
			events = append(events, fmt.Sprintf("%T %v", x, x))
		}
	}
}

// TestSPDYPasses: the other end reads the same, in pieces that are not large.
func TestSPDYPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClient(t)
		for i := range rapid.IntRange(0, 12).Draw(t, "frames") {
			id := spdy.StreamId(rapid.IntRange(1, 15).Draw(t, "stream"))
			switch rapid.SampledFrom([]string{"open", "data", "end", "ping", "reset", "settings"}).Draw(t, "sort") {
			case "open":
				c.open(t, id, rapid.SampledFrom([]string{"stdin", "error", "data"}).Draw(t, "type"))
			case "data":
				n := rapid.SampledFrom([]int{0, 1, bounds.DataFrame - 1, bounds.DataFrame, bounds.DataFrame + 1, 100_000}).Draw(t, "length")
				c.send(t, id, strings.Repeat(string(rune('a'+i)), n))
			case "end":
				c.write(t, &spdy.DataFrame{StreamId: id, Flags: spdy.DataFlagFin, Data: make([]byte, rapid.IntRange(0, 9000).Draw(t, "last"))})
			case "ping":
				c.write(t, &spdy.PingFrame{Id: uint32(i) + 1})
			case "reset":
				c.write(t, &spdy.RstStreamFrame{StreamId: id, Status: spdy.Cancel})
			case "settings":
				c.write(t, &spdy.SettingsFrame{FlagIdValues: []spdy.SettingsFlagIdValue{{Id: 4, Value: 100}}})
			}
		}
		sent := bytes.Clone(c.Bytes())
		var through io.Reader = SPDY(bufio.NewReader(bytes.NewReader(sent)))
		if rapid.Bool().Draw(t, "by halves") {
			through = iotest.HalfReader(through)
		}
		want, _ := reading(t, bytes.NewReader(sent))
		got, largest := reading(t, through)
		if fmt.Sprint(got) != fmt.Sprint(want) || largest > bounds.DataFrame {
			t.Fatalf("frames of up to %d bytes\n got %q\nwant %q", largest, got, want)
		}
	})
}

// TestSPDYEnds: what a library would keep, or read otherwise than it was looked over, ends the
// connection; what came before arrives.
func TestSPDYEnds(t *testing.T) {
	head := func(sort uint16, length uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{0x80, 3}, sort), length), rest...)
	}
	size := `{"Width":80,"Height":24}`
	for name, c := range map[string]struct {
		sizes []string // on a resize stream
		raw   []byte
		cause string
	}{
		"sizes":                      {sizes: []string{strings.Repeat(size+"\n", 5000), strings.Repeat(size, 5000)}},
		"a size in pieces":           {sizes: []string{`{"Wid`, `th":80,"He`, `ight":24}`}},
		"odd texts":                  {sizes: []string{`{"a\"}":"{[\\","b":[{}]}` + strings.Repeat(size, 500)}},
		"a text without end":         {sizes: []string{`{"a":"`, strings.Repeat("}", 5000)}, cause: "longer than"},
		"an escape that ends none":   {sizes: []string{`{"a":"` + strings.Repeat(`\"}`, 2000)}, cause: "longer than"},
		"a list without end":         {sizes: []string{`[` + strings.Repeat(`{},`, 2000)}, cause: "longer than"},
		"space without end":          {sizes: []string{size, strings.Repeat(" ", 5000)}, cause: "longer than"},
		"a number without end":       {sizes: []string{strings.Repeat("1", 5000)}, cause: "longer than"},
		"a control frame, large":     {raw: head(1, bounds.ControlFrame+1), cause: "too large"},
		"a ping with more behind":    {raw: head(6, 8, 0, 0, 0, 1, 0, 0, 0, 1), cause: "4 bytes too many"},
		"a ping that is cut":         {raw: head(6, 2, 0, 0), cause: "unexpected EOF"},
		"settings that announce all": {raw: head(4, 4, 0xff, 0xff, 0xff, 0xff), cause: "invalid control frame"},
		"an unknown frame":           {raw: head(99, 0), cause: "SPDY frame"},
		"a stream that is cut":       {raw: head(1, 3, 0, 0, 0), cause: "SPDY frame"},
		"a data frame that is cut":   {raw: []byte{0, 0, 0, 1, 0, 0, 0, 9, 'x'}, cause: "unexpected EOF"},
		"a head that is cut":         {raw: []byte{0, 0}, cause: "unexpected EOF"},
	} {
		w := newClient(t)
		w.open(t, 1, "resize")
		w.open(t, 3, "stdin")
		w.send(t, 3, strings.Repeat(`{"`, 5000)) // no size
		before := w.Len()
		for _, s := range c.sizes {
			w.send(t, 1, s)
		}
		w.Write(c.raw)
		got, err := io.ReadAll(SPDY(bufio.NewReader(&w.Buffer)))
		switch {
		case c.cause == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.cause != "" && (err == nil || !strings.Contains(err.Error(), c.cause)):
			t.Errorf("%s: %v, want %q", name, err, c.cause)
		case len(got) < before:
			t.Errorf("%s: %d bytes of %d arrived", name, len(got), before)
		}
	}
}

// TestResizeStreams: few are remembered.
func TestResizeStreams(t *testing.T) {
	w := newClient(t)
	for i := range bounds.ResizeStreams + 1 {
		w.open(t, spdy.StreamId(2*i+1), "resize")
	}
	if _, err := io.ReadAll(SPDY(bufio.NewReader(&w.Buffer))); err == nil || !strings.Contains(err.Error(), "too many streams") {
		t.Errorf("%v", err)
	}
}

// FuzzSPDY: whatever comes, the reader ends, and what it passes on a library reads in small frames.
func FuzzSPDY(f *testing.F) {
	f.Add([]byte{0x80, 3, 0, 1, 0, 0, 0, 3, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := io.ReadAll(SPDY(bufio.NewReader(bytes.NewReader(in))))
		if err == nil && len(out) < len(in) {
			t.Errorf("%d bytes of %d arrived", len(out), len(in))
		}
		if _, largest := reading(t, bytes.NewReader(out)); largest > bounds.DataFrame {
			t.Errorf("a frame of %d bytes", largest)
		}
	})
}
