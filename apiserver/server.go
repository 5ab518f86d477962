// Package apiserver is the API server: the filters, the verbs and what else is
// served over HTTPS, put together from Options.
//
//	socket ─TLS─▶ filters.Chain ─▶ mux ─┬─▶ verbs ─▶ kind's rules ─▶ store
//	in process ──(user known)──▶ …      ├─▶ discovery, openapi
//	                                    └─▶ health, version, metrics, what was given
//
// Life: New checks and prepares everything and starts nothing. Run listens,
// serves until ctx is done, then refuses new requests, ends the watches, lets the
// others finish and returns when all connections are closed. The handler and the
// in-process transport work from New on.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/verbs"
	"hyperkube/internal/supervise"
	"hyperkube/internal/turnstile"
	"hyperkube/store"
)

// Server serves one API. Make it with New.
type Server struct {
	o        Options
	env      *env
	verbs    *verbs.Handler
	network  http.Handler // behind all filters
	inside   http.Handler // for requests whose user is known
	stopping context.Context
	stop     context.CancelFunc
	ready    chan struct{}
	draining atomic.Bool
}

// New prepares a server.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Server{o: o, env: &env{Reader: o.Store, o: &o}, ready: make(chan struct{})}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.verbs = verbs.New(verbs.Options{
		Registry: o.Served, Scheme: o.Scheme, Env: s.env, Admission: o.Admission, Applier: o.Applier,
		Connect: o.Connect, Stopping: s.stopping, Log: o.Log,
	})
	s.network, s.inside = filters.Chain(filters.Config{
		Log: o.Log, Registry: o.Registry, Authenticator: o.Authenticator, Authorizer: o.Authorizer,
		MaxReads: o.MaxReads, MaxWrites: o.MaxWrites, Timeout: o.RequestTimeout, Audit: o.Audit, Known: o.Served.Knows, Nodes: s.nodes,
	}, s.mux())
	return s, nil
}

// nodes is how many nodes the cluster has, as far as this server knows now.
func (s *Server) nodes() int {
	c, ok := s.o.Store.Collection("", "nodes")
	if !ok {
		return 0
	}
	ctx, cancel := context.WithTimeout(s.stopping, time.Second)
	defer cancel()
	l, err := c.List(ctx, store.ListOptions{Limit: 1, Freshness: store.Freshness{Any: true}})
	if err != nil {
		return 0 // no more than on a cluster without nodes
	}
	n := 0
	for range l.Entries {
		n++
	}
	if l.Remaining != nil {
		n += int(*l.Remaining)
	}
	return n
}

// Handler is what the socket serves, all filters included.
func (s *Server) Handler() http.Handler { return s.network }

// Ready is closed when Run listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx is done and all requests have ended.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	if s.o.Audit != nil {
		if err := s.o.Audit.Open(); err != nil {
			return err
		}
		defer s.o.Audit.Close()
	}
	ln, err := s.listen(ctx)
	if err != nil {
		return err
	}
	srv, err := s.httpServer()
	if err != nil {
		ln.Close()
		return err
	}
	failed := make(chan error, 1)
	go func() {
		failed <- supervise.Contain("accepting connections", func() error { return srv.ServeTLS(gatherListener{ln}, "", "") })
	}()
	s.o.Log.Info("api server listens", "address", ln.Addr().String())
	close(s.ready)
	select {
	case err = <-failed:
		return fmt.Errorf("api server: %w", err)
	case <-ctx.Done():
	}
	return s.shutdown(srv, failed)
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	if s.o.Listener != nil {
		return s.o.Listener, nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.o.Address)
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	return turnstile.New(turnstile.Share(), s.o.Log).Bound(ln), nil
}

// writeStall is how long a connection may take nothing of what is written to it.
const writeStall = 30 * time.Second

func (s *Server) httpServer() (*http.Server, error) {
	conf, err := s.o.TLS.config(s.o.Log)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{
		Handler: s.network, TLSConfig: conf, ConnContext: filters.ConnContext, MaxHeaderBytes: 1 << 20,
		ReadHeaderTimeout: 32 * time.Second, IdleTimeout: 90 * time.Second, WriteTimeout: filters.AnswerTime(s.o.RequestTimeout),
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 1000, WriteByteTimeout: writeStall},
		// Streams take turns: a long list must not keep the watches of its connection waiting.
		DisableClientPriority: true,
	}
	return srv, nil
}

// shutdown ends watches first, since nothing else would.
func (s *Server) shutdown(srv *http.Server, failed <-chan error) error {
	s.draining.Store(true)
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), s.o.ShutdownTimeout)
	defer cancel()
	err := srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // whoever is left had their time
	}
	<-failed
	if err != nil {
		return fmt.Errorf("api server: shutting down: %w", err)
	}
	return nil
}
