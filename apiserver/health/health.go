// Package health answers /healthz, /livez and /readyz: all checks, or one by its
// name below the path; ?verbose lists them, ?exclude leaves some out. A check
// must be quick and obey its context; what it found is logged, never shown.
//
// Nobody is refused an answer, however many ask: a check runs once at a time, and
// all who ask meanwhile get what that run finds.
package health

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"hyperkube/internal/supervise"
)

// Check is one line of the answer.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// checkTime bounds all checks of one request.
const checkTime = 10 * time.Second

// Handler serves path and path/<name>. name is "healthz", "livez" or "readyz".
func Handler(name string, log *slog.Logger, checks []Check) http.Handler {
	checks = slices.Clone(checks)
	for i := range checks {
		checks[i].Run = (&joined{name: checks[i].Name, run: checks[i].Run}).Run
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTime)
		defer cancel()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache, private")
		if one := strings.Trim(strings.TrimPrefix(r.URL.Path, "/"+name), "/"); one != "" {
			serveOne(ctx, w, r, log, checks, one)
			return
		}
		serveAll(ctx, w, r, log, name, checks)
	})
}

func serveOne(ctx context.Context, w http.ResponseWriter, r *http.Request, log *slog.Logger, checks []Check, name string) {
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	if err := checks[i].Run(ctx); err != nil {
		log.Warn("health check failed", "check", name, "err", err)
		http.Error(w, fmt.Sprintf("internal server error: %s failed: reason withheld", name), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte("ok"))
}

func serveAll(ctx context.Context, w http.ResponseWriter, r *http.Request, log *slog.Logger, path string, checks []Check) {
	q := r.URL.Query()
	exclude := q["exclude"]
	_, verbose := q["verbose"]
	var out bytes.Buffer
	failed := false
	for _, c := range checks {
		if slices.Contains(exclude, c.Name) {
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Run(ctx); err != nil {
			failed = true
			log.Warn("health check failed", "check", c.Name, "err", err)
			fmt.Fprintf(&out, "[-]%s failed: reason withheld\n", c.Name)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	for _, x := range exclude {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == x }) {
			fmt.Fprintf(&out, "warn: some health checks cannot be excluded: no matches for %q\n", x)
		}
	}
	switch {
	case failed:
		fmt.Fprintf(&out, "%s check failed\n", path)
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(out.Bytes())
	case verbose:
		fmt.Fprintf(&out, "%s check passed\n", path)
		_, _ = w.Write(out.Bytes())
	default:
		_, _ = w.Write([]byte("ok"))
	}
}

// Ping always succeeds: the process answers.
func Ping() Check { return Check{"ping", func(context.Context) error { return nil }} }

// joined is a check that runs once at a time.
type joined struct {
	name string
	run  func(context.Context) error

	mu  sync.Mutex
	now *result
}

// result of the run under way; err may be read when done is closed.
type result struct {
	done chan struct{}
	err  error
}

// Run waits for the run under way, or begins one. The run ends by itself, within
// checkTime: those who joined it do not lose it when the first one goes away.
func (j *joined) Run(ctx context.Context) error {
	j.mu.Lock()
	r := j.now
	if r == nil {
		r = &result{done: make(chan struct{})}
		j.now = r
		go j.begin(context.WithoutCancel(ctx), r)
	}
	j.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *joined) begin(ctx context.Context, r *result) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	r.err = supervise.Contain("health check "+j.name, func() error { return j.run(ctx) })
	j.mu.Lock()
	j.now = nil
	j.mu.Unlock()
	close(r.done)
}
