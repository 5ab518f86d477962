// Package filters is what every request passes before a verb sees it: one
// ordered list, in Chain, outermost first.
//
// A filter wraps the handler after it, answers itself when it refuses, and
// leaves what it learned in the request's context (package request). Requests
// from inside the process enter with their user already known and skip the
// filters marked as network.
package filters

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/turnstile"

	"github.com/prometheus/client_golang/prometheus"
)

// Config of the list. Authenticator and Authorizer may be nil: then nobody is
// known, respectively nobody but system:masters may do anything.
type Config struct {
	Log           *slog.Logger
	Registry      prometheus.Registerer
	Authenticator request.Authenticator
	Authorizer    request.Authorizer
	// MaxReads and MaxWrites bound the requests under way; 0 means 400 and 200. A tenth of
	// them is kept for system:masters, a tenth for the cluster's own accounts, a fifth for nodes.
	MaxReads, MaxWrites int64
	// MaxWatches (in units) and MaxStreams bound what takes long; 0 means those of package
	// bounds, and for streams no more than the process has files for.
	MaxWatches, MaxStreams int64
	// Nodes tells how many nodes there are, for each of which there may be more watches; nil
	// means none.
	Nodes func() int
	// Timeout of requests that are not long-running; 0 means 60 s.
	Timeout time.Duration
	Audit   *AuditLog // nil: no audit
	// Known tells resources that exist, to which metrics are limited; nil means all.
	Known func(*request.Info) bool
}

// filter is one line of the list.
type filter struct {
	name    string
	network bool // only for requests from a socket
	wrap    func(http.Handler) http.Handler
}

// list is in this order so that every answer is counted and audited, whoever
// refused; and so that nobody's body is waited for who may not send it, nor a
// seat held meanwhile.
func list(c Config) []filter {
	m, under := newMetrics(c.Registry, c.Known), newUnderWay(c.Log)
	return []filter{
		{"recover", false, recovery(c.Log)},                                         // a panic ends one request, not the server
		{"resets", true, resets},                                                    // a connection that only gives up requests is ended
		{"identify", false, identify},                                               // Audit-Id
		{"info", false, requestInfo},                                                // what is asked for
		{"metrics", false, m.wrap},                                                  // counts and latencies
		{"audit", false, c.Audit.wrap},                                              // what was done, refusals included
		{"timeout", true, timeout(c.Timeout, under)},                                // 504
		{"authn", true, authenticate(c.Authenticator, m, under)},                    // 401
		{"underway", true, under.wrap},                                              // 429 before memory does
		{"impersonate", false, impersonate(c.Authorizer)},                           // acts as somebody else
		{"authz", false, authorize(c.Authorizer, c.Log)},                            // 403
		{"long", true, newLongRunning(c.MaxWatches, c.MaxStreams, c.Nodes).wrap(m)}, // 429 for watches and streams
		{"body", true, newIntake().wrap(m)},                                         // 413, 429: the body is read, within bounds
		{"seat", true, inflight(c.MaxReads, c.MaxWrites, m)},                        // 429 before work piles up
	}
}

// Chain puts the list before last. The first handler is for requests from the
// network, the second for those from inside the process.
func Chain(c Config, last http.Handler) (network, inside http.Handler) {
	if c.MaxReads == 0 {
		c.MaxReads = 400
	}
	if c.MaxWrites == 0 {
		c.MaxWrites = 200
	}
	if c.MaxWatches == 0 {
		c.MaxWatches = bounds.Watches
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = int64(min(bounds.Streams, max(1, turnstile.Share()/2)))
	}
	if c.Timeout == 0 {
		c.Timeout = requestTime
	}
	network, inside = last, last
	all := list(c)
	for i := len(all) - 1; i >= 0; i-- {
		network = all[i].wrap(network)
		if !all[i].network {
			inside = all[i].wrap(inside)
		}
	}
	return network, inside
}

// Names lists the filters in order, for the log and for tests.
func Names() []string {
	var names []string
	for _, f := range list(Config{}) {
		names = append(names, f.name)
	}
	return names
}

// healthCheck: these answer whether the server is well, also when it is full.
func healthCheck(i *request.Info) bool {
	if i.IsResource {
		return false
	}
	head, _, _ := strings.Cut(strings.TrimPrefix(i.Path, "/"), "/")
	return head == "healthz" || head == "livez" || head == "readyz"
}

// LongRunning requests have no timeout and no seat: watches, streams and proxied
// connections. They have bounds of their own.
func LongRunning(i *request.Info) bool {
	if i.Verb == "watch" {
		return true
	}
	switch i.Subresource {
	case "exec", "attach", "log", "portforward", "proxy":
		return true
	}
	return false
}
