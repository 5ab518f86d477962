package connect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"

	"hyperkube/internal/bounds"
)

// upgrade passes a request on that is to become a connection, and then the connection:
//
//	client ══ hijacked ══ bytes as they are ══ to
//
// Until the other end has agreed it has headerTimeout and bounds.BackendHead bytes to say
// so, and when the client goes it is given up: a pod may answer for ever.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, to *url.URL, t http.RoundTripper) error {
	up, head, err := h.ask(r, to, t)
	if err != nil {
		return fmt.Errorf("error dialing backend: %w", err)
	}
	defer up.Close()
	if head.StatusCode != http.StatusSwitchingProtocols && head.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("invalid upgrade response: status code %d", head.StatusCode)
	}
	down, client, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("taking over the connection: %w", err)
	}
	defer down.Close()
	if head.StatusCode != http.StatusSwitchingProtocols {
		handOn(down, up, head.Response)
		return nil
	}
	if _, err = down.Write(head.raw); err == nil {
		err = up.SetDeadline(time.Time{})
	}
	if err == nil {
		join(r.Context(), down, up, client.Reader, up)
	}
	return nil // whoever could be told has a connection of another protocol, or is gone
}

// ask sends the request to where it leads and reads the head of the answer.
func (h *Handler) ask(r *http.Request, to *url.URL, t http.RoundTripper) (net.Conn, *head, error) {
	dialing, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	conn, err := proxy.DialURL(dialing, to, t)
	if err != nil {
		return nil, nil, err
	}
	out := r.Clone(r.Context())
	utilnet.AppendForwardedForHeader(out)
	if out.URL, err = url.Parse(to.String()); err != nil { // a path that was joined may lack its slash
		conn.Close()
		return nil, nil, err
	}
	out.Host = to.Host
	stop := context.AfterFunc(r.Context(), func() { conn.Close() })
	defer stop()
	var answer *head
	if err = conn.SetDeadline(time.Now().Add(headerTimeout)); err == nil {
		err = out.Write(conn)
	}
	if err == nil {
		answer, err = readHead(conn, out)
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, answer, nil
}

// refusalTime is what a refusal takes at most until its client has it.
const refusalTime = 10 * time.Second

// handOn lets the client see why there is no connection.
func handOn(down, up net.Conn, refusal *http.Response) {
	at := time.Now().Add(refusalTime)
	if errors.Join(up.SetReadDeadline(at), down.SetWriteDeadline(at)) == nil {
		_ = refusal.Write(down) // who is gone misses it
	}
}

// head is the beginning of an answer.
type head struct {
	*http.Response
	raw  []byte        // what has been read for it, which may be more than it
	from *bufio.Reader // what comes after it
}

// readHead reads the head of the answer to r.
func readHead(conn io.Reader, r *http.Request) (*head, error) {
	m := &metered{from: conn, left: bounds.BackendHead}
	from := bufio.NewReader(m)
	resp, err := http.ReadResponse(from, r)
	if m.left == 0 {
		return nil, errors.New("the head of the answer is too long")
	}
	if err != nil {
		return nil, err
	}
	m.done = true
	return &head{resp, m.raw, from}, nil
}

// metered bounds and keeps what is read until it is done.
type metered struct {
	from io.Reader
	left int
	raw  []byte
	done bool
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	if m.done {
		return m.from.Read(p)
	}
	if m.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := m.from.Read(p[:min(len(p), m.left)])
	m.left -= n
	m.raw = append(m.raw, p[:n]...)
	return n, err
}
