package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// load asks a URL again and again, each time over a new connection.
type load struct {
	cancel context.CancelFunc
	done   chan struct{}
	asked  int
	failed []string
}

func (k *client) load(url string) *load {
	ctx, cancel := context.WithCancel(k.Context)
	l := &load{cancel: cancel, done: make(chan struct{})}
	hc := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, network, addr string) (net.Conn, error) { return k.Dial(ctx, network, addr) },
	}}
	pace := time.NewTicker(5 * time.Millisecond)
	go func() {
		defer close(l.done)
		defer pace.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
			if err := get(hc, url); err != nil && ctx.Err() == nil {
				l.failed = append(l.failed, time.Now().Format("05.000 ")+err.Error())
			}
			l.asked++
		}
	}()
	return l
}

func get(hc *http.Client, url string) error {
	resp, err := hc.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

func (l *load) stop() (asked int, failed []string) {
	l.cancel()
	<-l.done
	return l.asked, l.failed
}

// lines are what a running command has said.
type lines struct {
	mu   sync.Mutex
	said []string
	wait func()
}

func (k *client) lines(cmd *exec.Cmd) *lines {
	k.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	l := &lines{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(out); in.Scan(); {
			l.mu.Lock()
			l.said = append(l.said, in.Text())
			l.mu.Unlock()
		}
	}()
	l.wait = func() {
		<-read
		cmd.Wait() // it was killed: its error says so
	}
	return l
}

func (l *lines) has(words string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.said {
		if strings.Contains(s, words) {
			return nil
		}
	}
	return fmt.Errorf("no line says %q in %q", words, l.said)
}
