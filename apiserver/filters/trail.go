package filters

import (
	"context"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

// trail is what the filters learn about a request for those outside of them: the
// audit log and the limits. One goroutine at a time writes it.
type trail struct {
	by      *request.User // who was authenticated; nil: nobody
	as      *request.User // whom they act as
	refused string        // whom they may not act as
	// decision ("allow", "forbid") and reason of the authorizer.
	decision, reason string
	notes            map[string]string // of admission plugins
	place            *place            // among the requests under way; nil: inside the process
}

// note keeps an audit annotation; what comes after bounds.AuditNotes is dropped.
func (t *trail) note(key, value string) {
	if _, have := t.notes[key]; !have && len(t.notes) >= bounds.AuditNotes {
		return
	}
	if t.notes == nil {
		t.notes = map[string]string{}
	}
	t.notes[short(key)] = short(value)
}

type trailKey struct{}

func withTrail(ctx context.Context) context.Context {
	t := &trail{}
	if u, ok := request.Known(ctx); ok { // inside the process
		t.by = u
	}
	return request.WithAudit(context.WithValue(ctx, trailKey{}, t), t.note)
}

// trailOf never returns nil.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

// actor is who sent the request, whomever they act as.
func actor(ctx context.Context) *request.User {
	if t := trailOf(ctx); t.by != nil {
		return t.by
	}
	return request.UserFrom(ctx)
}
