package apiserver

import (
	"bytes"
	"context"
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

	"hyperkube/apiserver/storetest"
	"hyperkube/internal/bounds"

	"golang.org/x/net/http2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// flood writes more bytes of objects than any socket takes.
func flood(st *storetest.Store) {
	for i := range 300 {
		st.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: fmt.Sprint("p", i),
			Annotations: map[string]string{"a": strings.Repeat("x", 100<<10)}}})
	}
}

// underWay waits until as many long-running requests are served.
func underWay(t *testing.T, s *Server, want float64) {
	t.Helper()
	var n float64
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		families, err := s.o.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n = 0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "apiserver_longrunning_requests" {
					n += m.GetGauge().GetValue()
				}
			}
		}
		if n == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%v watches are served, want %v", n, want)
}

// TestSlowWatch: a watch whose client does not read is ended, whatever it came over.
func TestSlowWatch(t *testing.T) {
	s, st := newTestServer(t)
	s.verbs.WatchStall = 200 * time.Millisecond
	address := listenTest(t, s)
	const path = "/api/v1/pods?watch=1"
	for name, open := range map[string]func(){
		"HTTP/1.1": func() {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
		},
		"HTTP/2": func() {
			c := dialRaw(t, address)
			if err := c.begin(1); err != nil {
				t.Fatal(err)
			}
			go func() { // takes frames, but gives no window for more
				for {
					if f, err := c.framer.ReadFrame(); err != nil {
						return
					} else if _, reset := f.(*http2.RSTStreamFrame); reset {
						return
					}
				}
			}()
		},
		"in process": func() {
			w, err := kubernetes.NewForConfigOrDie(s.ClientConfig(admin)).CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Stop)
		},
	} {
		open()
		underWay(t, s, 1)
		flood(st)
		underWay(t, s, 0)
		t.Log(name, "was ended")
	}
}

// listenTest serves s on a socket until the test ends.
func listenTest(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s.o.Listener, s.o.TLS = ln, TLS{Certificate: &pair}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	return ln.Addr().String()
}

// sizes is a writer that remembers the longest write.
type sizes struct {
	*httptest.ResponseRecorder
	longest int
}

func (w *sizes) Write(p []byte) (int, error) {
	w.longest = max(w.longest, len(p))
	return w.ResponseRecorder.Write(p)
}

// TestWatchPieces: what a watch holds for its client does not grow with what there is to tell.
func TestWatchPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the watch ends when there is no more to tell
		s, st := newTestServer(t)
		for i := range 3000 {
			st.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: fmt.Sprint("p", i)}})
		}
		st.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "big", Annotations: map[string]string{"a": strings.Repeat("x", 1<<20)}}})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		w := &sizes{ResponseRecorder: httptest.NewRecorder()}
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/pods?watch=1", nil).WithContext(ctx))
		if w.longest > bounds.WatchPiece || w.longest == 0 {
			t.Errorf("%d bytes were written at once", w.longest)
		}
		if n := bytes.Count(w.Body.Bytes(), []byte("\n")); n != 3001 {
			t.Errorf("%d events", n)
		}
	})
}

// TestPanicInside: a panic in a request of a role of this process is that role's error.
func TestPanicInside(t *testing.T) {
	tr := &transport{user: admin, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic(http.ErrAbortHandler)
	})}
	for _, path := range []string{"/api/v1/pods", "/api/v1/pods?watch=1"} {
		r := httptest.NewRequest("GET", path, nil)
		resp, err := tr.RoundTrip(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("%s: a panic became a whole answer", path)
		}
	}
}

// TestWatchThatEndedIsNotSentOn: when a watch was too slow, the rest of what it was about
// to be sent is not kept until its client has read it, piece by piece.
func TestWatchThatEndedIsNotSentOn(t *testing.T) {
	s, st := newTestServer(t)
	flood(st) // 30 MB, one batch
	conn, err := tls.Dial("tcp", listenTest(t, s), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	st.EndWatches()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(conn, 40<<20))
	if n > 20<<20 {
		t.Errorf("%d bytes more were sent (%v)", n, err)
	}
	underWay(t, s, 0)
}
