package filters

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// reader is a client that takes no answer.
type reader struct {
	t     *testing.T
	conn  net.Conn
	f     *http2.Framer
	heads bytes.Buffer
	enc   *hpack.Encoder
	next  uint32
}

func dialReader(t *testing.T, s *httptest.Server, from string) *reader {
	d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}},
		Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	conn, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &reader{t: t, conn: conn, f: http2.NewFramer(conn, conn), next: 1}
	r.enc = hpack.NewEncoder(&r.heads)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := r.f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask sends a request whose head is large for the server and small on the wire, and returns
// its answer's status, or "given up".
func (r *reader) ask(user string, cookies int) string {
	r.heads.Reset()
	fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/api/v1/namespaces/d/pods/p"}, {Name: "x-user", Value: user}}
	for range cookies {
		fields = append(fields, hpack.HeaderField{Name: "cookie", Value: strings.Repeat("x", 4000)})
	}
	for _, f := range fields {
		if err := r.enc.WriteField(f); err != nil {
			r.t.Fatal(err)
		}
	}
	id := r.next
	r.next += 2
	if err := r.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.heads.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		r.t.Fatal(err)
	}
	for {
		switch f, err := r.f.ReadFrame(); f := f.(type) {
		case nil:
			r.t.Fatal(err)
		case *http2.RSTStreamFrame:
			return "given up"
		case *http2.HeadersFrame:
			// The encoder of the server indexes; what it says first is the status.
			if f.StreamEnded() {
				return "refused"
			}
			return "in"
		}
	}
}

// TestAnswersNotTaken: requests whose answers are not taken stay counted after their
// handlers are done; what one address holds has an end, and another one gets in.
func TestAnswersNotTaken(t *testing.T) {
	h, _ := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an answer") }))
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	for user, units := range map[string]int{request.Anonymous: bounds.Strangers, "bad": bounds.Strangers, "system:serviceaccount:n:a": bounds.Requests} {
		most := units / 2 * bounds.RequestUnit / (250 * 4000)
		greedy, got := dialReader(t, s, "127.0.0.2"), map[string]int{}
		for range 300 {
			got[greedy.ask(user, 250)]++
		}
		if got["in"] < most*9/10 || got["in"] > most {
			t.Errorf("%s: %v: of heads of a megabyte one may hold %d", user, got, most)
		}
		if got["refused"] != 300-got["in"] { // they end at once, since there is nothing to read
			t.Errorf("%s: %v", user, got)
		}
		for from, user := range map[string]string{"127.0.0.3": request.Anonymous, "127.0.0.2": "system:serviceaccount:m:a", "127.0.0.4": "bad"} {
			if got := dialReader(t, s, from).ask(user, 0); got != "in" {
				t.Errorf("%s from %s: %s", user, from, got)
			}
		}
		for _, user := range []string{"admin/system:masters", "system:node:n1/system:nodes"} {
			if got := dialReader(t, s, "127.0.0.2").ask(user, 250); got != "in" {
				t.Errorf("%s: %s", user, got)
			}
		}
		greedy.conn.Close()
		again, in := dialReader(t, s, "127.0.0.2"), false
		for range 100 { // the server notices that the connection is gone before it answers all of these
			in = in || again.ask(user, 1) == "in"
		}
		if !in {
			t.Errorf("%s: nothing was given back", user)
		}
		again.conn.Close()
	}
}

// TestManyTakeNothingOfOthers: however many addresses somebody has, accounts get in; however
// many accounts somebody has, the cluster's own get in.
func TestManyTakeNothingOfOthers(t *testing.T) {
	h, _ := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an answer") }))
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	fill := func(user func(i int) string) {
		t.Helper()
		for i := range 20 {
			greedy := dialReader(t, s, fmt.Sprint("127.0.1.", i+1))
			for _, cookies := range []int{250, 60, 4, 0} { // until not even a small one gets in
				for greedy.ask(user(i), cookies) == "in" {
				}
			}
		}
	}
	in := func(user string) {
		t.Helper()
		if got := dialReader(t, s, "127.0.0.4").ask(user, 0); got != "in" {
			t.Errorf("%s: %s", user, got)
		}
	}
	fill(func(int) string { return request.Anonymous })
	in("system:serviceaccount:m:a")
	in("jane")
	fill(func(i int) string { return fmt.Sprintf("system:serviceaccount:n%d:a", i) })
	in("system:kube-scheduler")
	in("system:kube-controller-manager")
	in("system:serviceaccount:kube-system:coredns")
	in("admin/system:masters")
}

// TestWatchesAreNotUnderWay: what takes long is counted elsewhere.
func TestWatchesAreNotUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"watch pods"}},
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if p := trailOf(r.Context()).place; len(p.pool.held) > 0 {
					t.Errorf("a watch is still counted: %v", p.pool.held)
				}
			}))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/pods?watch=1", nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}

// deadlines notes the write deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// TestServersDeadline: the server's deadline for answers is not that of a watch.
func TestServersDeadline(t *testing.T) {
	h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"watch pods", "list pods"}},
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]int{"/api/v1/pods?watch=1": 1, "/api/v1/pods": 0} {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(d, httptest.NewRequest("GET", path, nil))
		if len(d.set) != want || want == 1 && !d.set[0].IsZero() {
			t.Errorf("%s: %v", path, d.set)
		}
	}
}
