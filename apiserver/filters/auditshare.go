package filters

import (
	"net/http"
	"sync"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	"github.com/prometheus/client_golang/prometheus"
)

// sort of an audit event. Each account has an allowance for each, so that nobody hides what
// they change behind what they read or are refused.
type sort string

const (
	sortUnknown sort = "unknown" // sent by those whom nobody knows
	sortRead    sort = "read"
	sortRefused sort = "refused"
	sortOther   sort = "other"
)

// AuditLeftOut counts the events that are not written because whoever caused them has used
// up their share.
func AuditLeftOut(r prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperkube_audit_events_left_out_total",
		Help: "Audit events that were not written because their account, or all unknown ones, had used up its share, by sort."}, []string{"sort"})
	if r != nil {
		r.MustRegister(v)
	}
	return v
}

// shares is how much of the log each account may take. The zero value is ready.
type shares struct {
	mu      sync.Mutex
	unknown *allowance
	rest    *allowance // of accounts beyond bounds.AuditAccounts
	of      map[share]*allowance
}

type share struct {
	account string
	sort    sort
}

// find is the allowance that an event comes out of; nil: it is written in any case.
func (s *shares) find(e *auditEvent, u *request.User, code int, now time.Time) (*allowance, sort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.nobody() || u == nil {
		if s.unknown == nil {
			s.unknown = &allowance{most: bounds.AuditUnknown, perSecond: bounds.AuditUnknownPerSecond}
		}
		return s.unknown, sortUnknown
	}
	if ofTheSystem(u) && classOf(u) != nodes {
		return nil, ""
	}
	k := share{account(u), sortOther}
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusTooManyRequests:
		k.sort = sortRefused
	case readOnly(e.Verb):
		k.sort = sortRead
	}
	a := s.of[k]
	switch {
	case a != nil:
		return a, k.sort
	case len(s.of) >= bounds.AuditAccounts && !s.tidy(now):
		if s.rest == nil {
			s.rest = newShare()
		}
		return s.rest, k.sort
	case s.of == nil:
		s.of = map[share]*allowance{}
	}
	a = newShare()
	s.of[k] = a
	return a, k.sort
}

func newShare() *allowance {
	return &allowance{most: bounds.AuditShare, perSecond: bounds.AuditSharePerSecond}
}

// tidy forgets allowances that are as if they were new, and says whether there is room then.
func (s *shares) tidy(now time.Time) bool {
	for k, a := range s.of {
		if a.full(now) {
			delete(s.of, k)
		}
	}
	return len(s.of) < bounds.AuditAccounts
}
