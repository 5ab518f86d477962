package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// diagnose finds out why no server of o answers, in words that name the cause:
// gRPC only says that time was up. Nil: it could not find out.
func (o DialOptions) diagnose(ctx context.Context) error {
	var errs []error
	for _, s := range o.Servers {
		err := o.knock(ctx, s)
		if err == nil {
			return nil // somebody is there, and slow or without a leader
		}
		errs = append(errs, fmt.Errorf("%s: %w", s, err))
	}
	return errors.Join(errs...)
}

// knock connects to one server as the client does, up to the end of the handshake.
func (o DialOptions) knock(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	network, address, secure := target(server)
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !secure {
		if o.TLS != nil && network == "tcp" {
			return errors.New("a CA or certificate is given, but the URL is not https")
		}
		return nil
	}
	conf := o.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{}
	}
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(address)
	}
	conf.NextProtos = []string{"h2"}
	c := tls.Client(conn, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	// A certificate of ours that is not welcome is told after the handshake.
	if err := c.SetReadDeadline(time.Now().Add(askTimeout / 4)); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// target is where a server's URL leads.
func target(server string) (network, address string, secure bool) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" && u.Path == "" || !strings.Contains(server, "://") {
		return "tcp", server, false
	}
	if strings.HasPrefix(u.Scheme, "unix") {
		return "unix", u.Host + u.Path, u.Scheme == "unixs"
	}
	return "tcp", u.Host, u.Scheme == "https"
}
