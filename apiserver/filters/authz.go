package filters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// authorize asks whether the user may.
func authorize(a request.Authorizer, log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			u, info := request.UserFrom(ctx), request.InfoFrom(ctx)
			reason, err := judged(ctx, a, u, info, log)
			t := trailOf(ctx)
			t.decision, t.reason = "allow", reason
			if err != nil {
				t.decision = "forbid"
				codec.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Allowed is nil or the 403 of a request that comes by another way than HTTP.
func Allowed(ctx context.Context, a request.Authorizer, u *request.User, info *request.Info) error {
	return allowed(ctx, a, u, info, nil)
}

func allowed(ctx context.Context, a request.Authorizer, u *request.User, info *request.Info, log *slog.Logger) error {
	_, err := judged(ctx, a, u, info, log)
	return err
}

// judged is nil or the 403, with the authorizer's reason for either.
func judged(ctx context.Context, a request.Authorizer, u *request.User, info *request.Info, log *slog.Logger) (string, error) {
	if a == nil {
		if u.In(request.GroupMasters) {
			return "", nil
		}
		reason := "no authorizer is configured"
		return reason, Forbidden(u, info, reason)
	}
	d, reason, err := a.Authorize(ctx, u, info)
	if d == request.Allow {
		return reason, nil
	}
	if err != nil {
		if log != nil {
			log.Warn("authorization failed", "user", u.Name, "path", info.Path, "err", err)
		}
		if reason == "" {
			reason = err.Error()
		}
	}
	return reason, Forbidden(u, info, reason)
}

// Forbidden is the Status of a request that u may not make.
func Forbidden(u *request.User, i *request.Info, reason string) error {
	gr := schema.GroupResource{}
	text := fmt.Sprintf("User %q cannot %s path %q", u.Name, i.Verb, i.Path)
	if i.IsResource {
		gr = schema.GroupResource{Group: i.Group, Resource: i.Resource}
		name := i.Resource
		if i.Subresource != "" {
			name += "/" + i.Subresource
		}
		text = fmt.Sprintf("User %q cannot %s resource %q in API group %q", u.Name, i.Verb, name, i.Group)
		if i.Namespace != "" {
			text += fmt.Sprintf(" in the namespace %q", i.Namespace)
		} else {
			text += " at the cluster scope"
		}
	}
	if reason != "" {
		text += ": " + reason
	}
	name := i.Name
	if !i.IsResource {
		name = ""
	}
	return apierrors.NewForbidden(gr, name, errors.New(text))
}
