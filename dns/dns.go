// Package dns is the cluster's name server, CoreDNS as a library, and the objects
// that run it in the cluster.
//
//	Manifests ──▶ Deployment coredns ──▶ /hyperkube dns --conf Corefile ──▶ Run
//
// CoreDNS keeps its settings in package variables (the directives, the loader of
// configuration files, the list of instances), and its loop plugin ends the process
// when queries come back to it. So a process runs one server at a time; in a cluster
// it is a process of its own, in a pod. Run sets those variables and nothing else of
// this package touches them.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

const serverType = "dns"

// Options configure a Server: a file, or text.
type Options struct {
	Conf     string // path of a Corefile; it is read again by the reload plugin
	Corefile string // used when Conf is empty
	Log      *slog.Logger
}

// Server is a name server.
type Server struct {
	o     Options
	ready chan struct{}
}

// New reads the configuration once, so that a missing file is reported at once.
func New(o Options) (*Server, error) {
	s := &Server{o: o, ready: make(chan struct{})}
	if o.Log == nil {
		return nil, errors.New("dns needs a logger")
	}
	in, err := s.load(serverType)
	if err != nil {
		return nil, err
	}
	if !forwards(in.Body()) {
		o.Log.Warn("names outside of the cluster are refused: no upstream name server is configured, since this host knew none that a pod can reach when the cluster was set up",
			"next", "name one in the Corefile (forward . ADDRESS)")
	}
	return s, nil
}

// forwards reports whether a Corefile sends any query elsewhere.
func forwards(corefile []byte) bool {
	for line := range strings.Lines(string(corefile)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "forward" {
			return true
		}
	}
	return false
}

func (s *Server) load(typ string) (caddy.Input, error) {
	in := caddy.CaddyfileInput{Filepath: s.o.Conf, Contents: []byte(s.o.Corefile), ServerTypeName: typ}
	if s.o.Conf != "" {
		raw, err := os.ReadFile(s.o.Conf)
		if err != nil {
			return nil, fmt.Errorf("reading Corefile: %w", err)
		}
		in.Contents = raw
	}
	if len(in.Contents) == 0 {
		return nil, errors.New("the Corefile is empty")
	}
	return in, nil
}

// Started is closed when the server listens.
func (s *Server) Started() <-chan struct{} { return s.ready }

// Run answers queries until ctx is done. Only one Server of a process may run.
func (s *Server) Run(ctx context.Context) error {
	caddy.Quiet, dnsserver.Quiet = true, true
	caddy.AppName = "hyperkube dns"
	if err := dnsserver.Register(); err != nil {
		return fmt.Errorf("setting up CoreDNS: %w", err)
	}
	if err := dnsserver.SetDirectives(directives()); err != nil {
		return fmt.Errorf("setting up CoreDNS: %w", err)
	}
	caddy.SetDefaultCaddyfileLoader("hyperkube", caddy.LoaderFunc(s.load))
	input, err := s.load(serverType)
	if err != nil {
		return err
	}
	instance, err := caddy.Start(input)
	if err != nil {
		return fmt.Errorf("starting CoreDNS: %w", err)
	}
	close(s.ready)
	s.o.Log.Info("name server started", "corefile", s.o.Conf)
	var serving sync.WaitGroup
	ended := make(chan struct{})
	serving.Go(func() { instance.Wait(); close(ended) })
	defer serving.Wait()
	select {
	case <-ended:
		return errors.New("the name server ended by itself")
	case <-ctx.Done():
	}
	return stop()
}

// stop ends all instances: a reload may have replaced the first one.
func stop() error {
	var errs error
	for _, i := range caddy.Instances() {
		errs = errors.Join(append([]error{errs}, i.ShutdownCallbacks()...)...)
	}
	if err := errors.Join(errs, caddy.Stop()); err != nil {
		return fmt.Errorf("stopping CoreDNS: %w", err)
	}
	return nil
}
