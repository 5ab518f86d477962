package connect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	runtimes "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hyperkube/internal/bounds"
)

// pod is a backend that says what it likes.
func pod(t *testing.T, serve func(net.Conn, *http.Request)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					serve(c, r)
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func get(t *testing.T, ctx context.Context, url string, header ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return http.DefaultTransport.RoundTrip(r)
}

var upgrade = []string{"Connection", "Upgrade", "Upgrade", "websocket"}

// TestEndlessPage: a page arrives while it is sent, and is not kept.
func TestEndlessPage(t *testing.T) {
	const most = 32 << 20
	for name, piece := range map[string]string{
		"text":    strings.Repeat("\x00", 64<<10),
		"a tag":   strings.Repeat("<a href='/x' ", 4<<10),
		"pages":   strings.Repeat("<p><a href='/x'>y</a>\n", 3<<10),
		"script":  "<script>" + strings.Repeat("x", 64<<10),
		"comment": "<!--" + strings.Repeat("-", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			at := pod(t, func(c net.Conn, _ *http.Request) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
				for n := 0; n < most; n += len(piece) {
					if _, err := io.WriteString(c, piece); err != nil {
						return
					}
				}
				<-ctx.Done() // and there is more to come
			})
			c := setupTo(t, runtime{}, at)
			resp, err := get(t, ctx, c.Host+"/a/pods/one/proxy/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if n, err := io.CopyN(io.Discard, resp.Body, most/2); err != nil {
				t.Errorf("%d bytes arrived: %v", n, err)
			}
		})
	}
}

// TestEndlessHead: who answers an upgrade with headers for ever is given up.
func TestEndlessHead(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at := pod(t, func(c net.Conn, _ *http.Request) {
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\n")
		line := "A: " + strings.Repeat("a", 1000) + "\r\n"
		for range 4 << 10 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
		<-ctx.Done()
	})
	c := setupTo(t, runtime{}, at)
	resp, err := get(t, ctx, c.Host+"/a/pods/one/proxy/", upgrade...)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "too long") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestSilentUpgrade: a connection that is never agreed to ends with its client.
func TestSilentUpgrade(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	asked, ended := make(chan struct{}), make(chan error, 1)
	at := pod(t, func(c net.Conn, _ *http.Request) {
		close(asked)
		_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	c := setupTo(t, runtime{}, at)
	client, leave := context.WithCancel(ctx)
	go func() {
		select {
		case <-asked:
		case <-ctx.Done():
		}
		leave()
	}()
	if resp, err := get(t, client, c.Host+"/a/pods/one/proxy/", upgrade...); err == nil {
		resp.Body.Close()
		t.Errorf("answered with %s", resp.Status)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the backend's connection ended with %v", err)
	}
}

// TestUpgrade: what both sides say arrives, however early, and so does a refusal.
func TestUpgrade(t *testing.T) {
	at := pod(t, func(c net.Conn, r *http.Request) {
		if r.URL.Path == "/no" {
			fmt.Fprint(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nX-Why: because\r\n\r\nno!")
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nhello ", r.Header.Get("Upgrade"))
		buf := make([]byte, 4)
		if _, err := io.ReadFull(c, buf); err == nil {
			fmt.Fprintf(c, "%s from %s", buf, r.Header.Get("X-Forwarded-For"))
		}
	})
	c := setupTo(t, runtime{}, at)
	for path, want := range map[string]string{"/": "101 hello ping from 127.0.0.1", "/no": "403 no!"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.Host, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /a/pods/one/proxy%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nping", path)
		from := bufio.NewReader(conn)
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(from)
		if resp.StatusCode != http.StatusSwitchingProtocols {
			body = resp.Body
		}
		all, err := io.ReadAll(body)
		if got := fmt.Sprint(resp.StatusCode, " ", string(all)); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", path, got, err, want)
		}
		conn.Close()
	}
}

// TestManyBackends: connections that are kept for another request are few, however many
// ports a pod has.
func TestManyBackends(t *testing.T) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(open)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			open[c] = true
		case http.StateClosed:
			delete(open, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := setupTo(t, runtime{}, s.Listener.Addr().String())
	for port := range bounds.IdleBackends + 100 {
		resp, err := http.Get(fmt.Sprintf("%s/a/pods/one:%d/proxy/", c.Host, port+1))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	for end := time.Now().Add(10 * time.Second); count() > bounds.IdleBackends; runtimes.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d connections stay open", count())
		}
	}
	if count() < bounds.IdleBackends/2 {
		t.Errorf("only %d connections stay for another request", count())
	}
}
