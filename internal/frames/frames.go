// Package frames looks over what a client sends on a connection that it has taken over,
// before a library reads it that keeps all of a frame, or all of a terminal's size, however
// long they are.
//
//	client ══▶ hijacked connection, bounded ══▶ library (WebSocket, SPDY), often in another process
//
// Contract:
//   - What is within bounds arrives as it was sent, but for data frames of SPDY, which arrive
//     in pieces: their streams' bytes are the same.
//   - What is not within them ends the connection; nothing of it arrives.
//   - Nothing is kept but one control frame and the ids of few streams.
package frames

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Protocol makes the reader that looks over what comes from the client.
type Protocol func(from *bufio.Reader) io.Reader

// WebSocket ends a connection whose client sends a frame larger than bounds.Frame.
func WebSocket(from *bufio.Reader) io.Reader { return &webSocket{from: from} }

// SPDY bounds frames, headers and terminal sizes.
func SPDY(from *bufio.Reader) io.Reader { return newSPDY(from) }

// Bound is w, but that the connection it gives when it is hijacked is read through p.
func Bound(w http.ResponseWriter, p Protocol) http.ResponseWriter { return bound{w, p} }

type bound struct {
	http.ResponseWriter
	protocol Protocol
}

// Hijack implements http.Hijacker. The connection and its buffer have one reader.
func (b bound) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, rw, err := http.NewResponseController(b.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	from := bufio.NewReader(b.protocol(rw.Reader))
	return conn{raw, from}, bufio.NewReadWriter(from, rw.Writer), nil
}

// Unwrap serves http.ResponseController.
func (b bound) Unwrap() http.ResponseWriter { return b.ResponseWriter }

type conn struct {
	net.Conn
	from *bufio.Reader
}

// Read implements io.Reader.
func (c conn) Read(p []byte) (int, error) { return c.from.Read(p) }
