package apiserver

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// counted is one end of a pipe that counts its writes.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(p []byte) (int, error) { c.writes++; return c.Conn.Write(p) }

// TestGathered sends what a burst of events makes of a connection: full
// records, then a short one. Nothing is lost, changed or left behind.
//
// The bubble's clock stands while the writer runs: on a slow machine the time limit
// for what is held back would pass between two records.
func TestGathered(t *testing.T) { synctest.Test(t, testGathered) }

func testGathered(t *testing.T) {
	mine, theirs := net.Pipe()
	c := &counted{Conn: mine}
	g := &gathered{Conn: c}
	full, short := bytes.Repeat([]byte("f"), fullRecordMin), []byte("short")
	var want []byte
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		got <- b
	}()
	send := func(p []byte) {
		if n, err := g.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		want = append(want, p...)
	}
	send(short)
	for range 7 {
		send(full)
	}
	send(short)
	if c.writes != 2 {
		t.Errorf("%d writes instead of 2", c.writes)
	}
	for range 9 {
		send(full)
	}
	send(short)
	g.Close()
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes arrived of %d", len(b), len(want))
	}
	if _, err := g.Write(short); err == nil {
		t.Error("a closed connection takes data")
	}
}

// TestGatheredAlone: a full record that nothing follows is sent all the same.
func TestGatheredAlone(t *testing.T) { synctest.Test(t, testGatheredAlone) }

func testGatheredAlone(t *testing.T) {
	mine, theirs := net.Pipe()
	defer theirs.Close()
	g := &gathered{Conn: mine}
	defer g.Close()
	for range 2 {
		if _, err := g.Write(make([]byte, fullRecordMin)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(theirs, make([]byte, fullRecordMin)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGatheredCloses: closing does not wait for a peer that reads nothing.
func TestGatheredCloses(t *testing.T) {
	mine, theirs := net.Pipe()
	defer theirs.Close()
	g := &gathered{Conn: mine}
	done := make(chan error, 1)
	go func() {
		_, err := g.Write([]byte("short"))
		done <- err
	}()
	g.Close()
	if err := <-done; err == nil {
		t.Error("the write succeeded")
	}
}
