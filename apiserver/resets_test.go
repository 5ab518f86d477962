package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveTest runs a test server on a socket until the test ends.
func serveTest(t *testing.T) string {
	t.Helper()
	s, _ := newTestServer(t)
	return listenTest(t, s)
}

// rawHTTP2 is a connection whose frames the test writes itself.
type rawHTTP2 struct {
	conn   net.Conn
	framer *http2.Framer
	get    []byte
}

func dialRaw(t *testing.T, address string) *rawHTTP2 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &rawHTTP2{conn: conn, framer: http2.NewFramer(conn, conn)}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/api/v1/pods?watch=1"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	c.get = block.Bytes()
	return c
}

func (c *rawHTTP2) begin(stream uint32) error {
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.get, EndHeaders: true, EndStream: true})
}

// watchEnd reports on the channel whether the server said GOAWAY before it closed.
func (c *rawHTTP2) watchEnd() <-chan bool {
	ended := make(chan bool, 1)
	go func() {
		said := false
		for {
			f, err := c.framer.ReadFrame()
			if err != nil {
				ended <- said
				return
			}
			_, goaway := f.(*http2.GoAwayFrame)
			said = said || goaway
		}
	}()
	return ended
}

// TestRapidReset: a client that opens streams only to give them up loses its
// connection after a number of them that no honest client comes to.
func TestRapidReset(t *testing.T) {
	address := serveTest(t)
	c := dialRaw(t, address)
	ended := c.watchEnd()
	var err error
	for stream, end := uint32(1), time.Now().Add(10*time.Second); err == nil && time.Now().Before(end); stream += 2 {
		if err = c.begin(stream); err == nil {
			err = c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
		}
	}
	if err == nil {
		t.Fatal("ten seconds of giving up streams, and the connection stands")
	}
	select {
	case said := <-ended:
		if !said {
			t.Error("the connection ended without a GOAWAY")
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection does not end")
	}
	if got := getStatus(t, address); got != http.StatusOK {
		t.Errorf("another client: %d", got)
	}
}

// TestHonestCancels: a client that ends many watches at once keeps its connection.
func TestHonestCancels(t *testing.T) {
	c := dialRaw(t, serveTest(t))
	ended := c.watchEnd()
	const watches = 400
	for i := range watches {
		if err := c.begin(uint32(2*i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range watches {
		if err := c.framer.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ended:
		t.Error("the connection was ended")
	case <-time.After(1500 * time.Millisecond): // longer than a connection that is ended has left
	}
}

func getStatus(t *testing.T, address string) int {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + address + "/api/v1/pods")
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return 0
		}
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
