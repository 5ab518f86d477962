package filters

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

// leftOutNote tells how many events before this one were not written.
const leftOutNote = "audit.hyperkube.io/left-out"

// fit encodes an event, with its texts cut shorter and shorter until it is no longer than
// an event may be: a character of a client's may become six of JSON.
func fit(e *auditEvent) ([]byte, error) {
	for most := bounds.AuditText; ; most /= 4 {
		line, err := json.Marshal(e)
		if err != nil || len(line) <= bounds.AuditLine || most == 0 {
			return line, err
		}
		e.cut(most / 4)
	}
}

// cut shortens every text, and with nothing left to shorten drops what plugins noted.
func (e *auditEvent) cut(most int) {
	texts := []*string{&e.RequestURI, &e.Verb, &e.UserAgent, &e.AuditID}
	if o := e.ObjectRef; o != nil {
		texts = append(texts, &o.Resource, &o.Namespace, &o.Name, &o.APIGroup, &o.APIVersion, &o.Subresource)
	}
	e.User.cut(most)
	if e.ImpersonatedUser != nil {
		e.ImpersonatedUser.cut(most)
	}
	for _, t := range texts {
		*t = shorter(*t, max(most, 16))
	}
	if most < 64 {
		e.Annotations = nil
	}
	for k, v := range e.Annotations {
		e.Annotations[k] = shorter(v, most)
	}
}

// cut leaves the user's name and the first groups; users are shared, so they are copied.
func (u *auditUser) cut(most int) {
	u.Username, u.UID = shorter(u.Username, max(most, 256)), shorter(u.UID, max(most, 64))
	var groups []string
	for _, g := range u.Groups[:min(len(u.Groups), max(1, most/64))] {
		groups = append(groups, shorter(g, max(most, 64)))
	}
	u.Groups = groups
	if most < bounds.AuditText/4 {
		u.Extra = nil
	}
}

func shorter(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// nobody: whoever sent it, this server does not know them.
func (e *auditEvent) nobody() bool {
	return e.User.Username == "" || e.User.Username == request.Anonymous
}

// allowance is a number of bytes that comes back with time, full at first.
type allowance struct {
	most, perSecond float64

	mu      sync.Mutex
	spent   float64
	at      time.Time
	leftOut int
}

// take spends n bytes, or counts one event that is left out. With an event that is written
// comes how many were left out since the last one.
func (a *allowance) take(n int, now time.Time) (leftOut int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spent = max(0, a.spent-max(0, now.Sub(a.at).Seconds())*a.perSecond)
	a.at = now
	if a.spent+float64(n) > a.most {
		a.leftOut++
		return 0, false
	}
	a.spent += float64(n)
	leftOut, a.leftOut = a.leftOut, 0
	return leftOut, true
}

// full says that all of it is there and nobody waits to be told what was left out.
func (a *allowance) full(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leftOut == 0 && a.spent <= now.Sub(a.at).Seconds()*a.perSecond
}
