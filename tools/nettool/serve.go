package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

type server struct {
	name          string
	started       time.Time
	failAfter     time.Duration
	failed, ready atomic.Bool
}

func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	httpAddr := f.String("http", ":8080", "HTTP address, empty for none")
	udpAddr := f.String("udp", ":8081", "UDP address, empty for none")
	tcpAddr := f.String("tcp", ":8082", "TCP address, empty for none")
	grpcAddr := f.String("grpc", "", "gRPC health address, empty for none")
	failAfter := f.Duration("fail-after", 0, "/healthz fails after this long; 0 never")
	unready := f.Bool("unready", false, "/readyz fails until /ready is called")
	drain := f.Duration("drain", 0, "how long to go on answering after SIGTERM")
	if err := f.Parse(args); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	s := &server{name: name, started: time.Now(), failAfter: *failAfter}
	s.ready.Store(!*unready)
	var servers []func() error
	var stops []func()
	add := func(run func() error, stop func()) { servers, stops = append(servers, run), append(stops, stop) }
	if err := s.listen(add, *httpAddr, *udpAddr, *tcpAddr, *grpcAddr); err != nil {
		return err
	}
	errs := make(chan error, len(servers))
	for _, run := range servers {
		go func() { errs <- run() }()
	}
	fmt.Println("serving as", name)
	select {
	case err = <-errs:
	case <-ctx.Done():
		if *drain > 0 {
			timer := time.NewTimer(*drain)
			defer timer.Stop()
			select {
			case err = <-errs:
			case <-timer.C:
			}
		}
	}
	for _, stop := range stops {
		stop()
	}
	return err
}

func (s *server) listen(add func(func() error, func()), httpAddr, udpAddr, tcpAddr, grpcAddr string) error {
	if httpAddr != "" {
		l, err := net.Listen("tcp", httpAddr)
		if err != nil {
			return err
		}
		h := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
		add(func() error { return h.Serve(l) }, func() { h.Close() })
	}
	if udpAddr != "" {
		c, err := net.ListenPacket("udp", udpAddr)
		if err != nil {
			return err
		}
		add(func() error { return s.udp(c) }, func() { c.Close() })
	}
	if tcpAddr != "" {
		l, err := net.Listen("tcp", tcpAddr)
		if err != nil {
			return err
		}
		add(func() error { return s.tcp(l) }, func() { l.Close() })
	}
	if grpcAddr != "" {
		l, err := net.Listen("tcp", grpcAddr)
		if err != nil {
			return err
		}
		g := grpc.NewServer()
		h := health.NewServer()
		healthpb.RegisterHealthServer(g, h)
		if s.failAfter > 0 {
			time.AfterFunc(s.failAfter, func() { h.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING) })
		}
		add(func() error { return g.Serve(l) }, g.Stop)
	}
	return nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	say := func(path string, f func(*http.Request) (int, string)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			code, text := f(r)
			w.Header().Set("X-Pod", s.name)
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		})
	}
	ok := func(text string) (int, string) { return http.StatusOK, text }
	say("/", func(*http.Request) (int, string) { return ok(s.name) })
	say("/hostname", func(*http.Request) (int, string) { return ok(s.name) })
	say("/clientip", func(r *http.Request) (int, string) { return ok(r.RemoteAddr) })
	say("/echo", func(r *http.Request) (int, string) { return ok(r.FormValue("msg")) })
	say("/env", func(*http.Request) (int, string) { return ok(strings.Join(os.Environ(), "\n")) })
	say("/header", func(r *http.Request) (int, string) { return ok(fmt.Sprint(r.Header)) })
	say("/fail", func(*http.Request) (int, string) { s.failed.Store(true); return ok("failing from now") })
	say("/ready", func(*http.Request) (int, string) { s.ready.Store(true); return ok("ready from now") })
	say("/unready", func(*http.Request) (int, string) { s.ready.Store(false); return ok("not ready from now") })
	say("/healthz", func(*http.Request) (int, string) {
		if s.failed.Load() || s.failAfter > 0 && time.Since(s.started) > s.failAfter {
			return http.StatusServiceUnavailable, "failing"
		}
		return ok("ok")
	})
	say("/readyz", func(*http.Request) (int, string) {
		if !s.ready.Load() {
			return http.StatusServiceUnavailable, "not ready"
		}
		return ok("ok")
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.FormValue("code"))
		if err != nil {
			code = 1
		}
		os.Exit(code)
	})
	return mux
}

func (s *server) answer(msg string) string {
	if strings.TrimSpace(msg) == "hostname" {
		return s.name
	}
	return msg
}

func (s *server) udp(c net.PacketConn) error {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := c.WriteTo([]byte(s.answer(string(buf[:n]))), from); err != nil {
			fmt.Fprintln(os.Stderr, "udp answer:", err)
		}
	}
}

func (s *server) tcp(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			in := bufio.NewScanner(c)
			for in.Scan() {
				if _, err := fmt.Fprintln(c, s.answer(in.Text())); err != nil {
					return
				}
			}
		}()
	}
}
