package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hyperkube/internal/bounds"
)

// TestPassBounds: the runtime gets what a client sends, but no large frames, in both protocols.
func TestPassBounds(t *testing.T) {
	got := make(chan []byte, 1)
	runtime := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		all, _ := io.ReadAll(rw)
		got <- all
	}))
	defer runtime.Close()
	s := &Server{}
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.pass(w, r, runtime.URL) }))
	defer kubelet.Close()

	send := func(protocol string, b []byte) []byte {
		conn, err := net.Dial("tcp", kubelet.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		return <-got
	}

	data := bytes.Repeat([]byte{'x'}, bounds.DataFrame+1)
	whole := append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(len(data))), data...)
	all := send("SPDY/3.1", whole)
	if len(all) != len(whole)+8 || binary.BigEndian.Uint32(all[4:]) != bounds.DataFrame {
		t.Errorf("a SPDY frame of %d bytes arrives as %d bytes beginning with %x", len(whole), len(all), all[:min(8, len(all))])
	}
	small := []byte{0x82, 0x81, 1, 2, 3, 4, 'a'}
	large := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, bounds.Frame+1)
	if all := send("websocket", append(bytes.Clone(small), append(large, data...)...)); !bytes.Equal(all, small) {
		t.Errorf("a WebSocket frame of more than %d bytes: %d bytes arrive", bounds.Frame, len(all))
	}
}
