package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// dial asks once, or -n times, and prints each answer on a line.
func dial(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("dial", flag.ContinueOnError)
	n := f.Int("n", 1, "how often")
	timeout := f.Duration("timeout", 5*time.Second, "for one answer")
	msg := f.String("msg", "hostname", "what to send over TCP or UDP")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return fmt.Errorf("dial wants one URL")
	}
	u, err := url.Parse(f.Arg(0))
	if err != nil {
		return err
	}
	for range *n {
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		text, err := ask(ctx, u, *msg)
		cancel()
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, text)
	}
	return nil
}

func ask(ctx context.Context, u *url.URL, msg string) (string, error) {
	if u.Scheme == "http" {
		// A new connection each time: what is tested is where it goes.
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return string(b), err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, u.Scheme, u.Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		c.SetDeadline(d)
	}
	if _, err := io.WriteString(c, msg+"\n"); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	k, err := c.Read(buf)
	return string(buf[:k]), err
}
