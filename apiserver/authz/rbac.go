package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/store"
)

// RBAC decides by roles and bindings.
type RBAC struct {
	reader store.Reader
	log    *slog.Logger

	mu    sync.RWMutex
	index *index // nil until Run has it complete, and after it lost a watch
	left  int    // what was last told of aggregation
}

var (
	_ request.Authorizer = (*RBAC)(nil)
	_ request.RuleLister = (*RBAC)(nil)
)

// NewRBAC makes the authorizer; it is right at once and fast while Run runs.
func NewRBAC(r store.Reader, log *slog.Logger) *RBAC { return &RBAC{reader: r, log: log} }

const rbacGroup = rbacv1.GroupName

var rbacResources = [...]string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"}

// Run keeps the index until ctx ends. A watch that is lost is started again.
func (a *RBAC) Run(ctx context.Context) error {
	tries := supervise.Tries{Growth: supervise.Growth{First: 10 * time.Millisecond, Most: 5 * time.Second}}
	for {
		began := time.Now()
		err := a.follow(ctx)
		a.mu.Lock()
		a.index = nil
		a.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, store.ErrClosed) {
			return err
		}
		if time.Since(began) > time.Minute {
			tries.Well()
		}
		pause := tries.Next()
		a.log.Warn("rbac index lost its watch and starts anew", "err", err, "pause", pause)
		if !supervise.Pause(ctx, pause) {
			return nil
		}
	}
}

// Ready reports whether the index is complete, so that answers are fast.
func (a *RBAC) Ready() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.index != nil
}

// follow runs one watch for each resource and returns when one of them ends.
func (a *RBAC) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := newIndex()
	var waiting, running sync.WaitGroup
	for _, name := range rbacResources {
		c, ok := a.reader.Collection(rbacGroup, name)
		if !ok {
			return fmt.Errorf("no collection of %s", name)
		}
		waiting.Add(1)
		running.Go(func() {
			synced := sync.OnceFunc(waiting.Done)
			defer synced()
			cancel(a.watch(ctx, c, x, synced))
		})
	}
	waiting.Wait()
	if ctx.Err() == nil {
		a.mu.Lock()
		a.settleLocked(x)
		a.index = x
		a.mu.Unlock()
	}
	running.Wait()
	return context.Cause(ctx)
}

func (a *RBAC) watch(ctx context.Context, c store.Collection, x *index, synced func()) error {
	w, err := c.Watch(ctx, store.WatchOptions{Initial: true, Latest: true, EndOfInitial: true})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		events, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if a.apply(x, events) {
			synced()
		}
	}
}

// apply reports whether the initial events ended with these.
func (a *RBAC) apply(x *index, events []store.Event) (end bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range events {
		switch {
		case e.Type == watch.Bookmark:
			end = end || e.InitialEventsEnd
		case e.Type == watch.Deleted:
			x.remove(e.Entry.Object)
		default:
			x.put(e.Entry.Object)
		}
	}
	if a.index == x {
		a.settleLocked(x)
	}
	return end
}

// settleLocked tells when aggregation hits its bound, once until that changes.
func (a *RBAC) settleLocked(x *index) {
	if left := x.settle(); left != a.left {
		a.log.Error("aggregated cluster roles gather too many rules: some keep only their own", "roles", left, "bound", bounds.AggregatedRules)
		a.left = left
	}
}

// with calls f with an index that is complete, under the lock if it is the kept one.
func (a *RBAC) with(ctx context.Context, f func(*index)) error {
	a.mu.RLock()
	if a.index != nil {
		defer a.mu.RUnlock()
		f(a.index)
		return nil
	}
	a.mu.RUnlock()
	x, err := a.listed(ctx)
	if err != nil {
		return err
	}
	f(x)
	return nil
}

func (a *RBAC) listed(ctx context.Context) (*index, error) {
	x := newIndex()
	for _, name := range rbacResources {
		c, ok := a.reader.Collection(rbacGroup, name)
		if !ok {
			return nil, fmt.Errorf("no collection of %s", name)
		}
		l, err := c.List(ctx, store.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", name, err)
		}
		for e := range l.Entries {
			x.put(e.Object)
		}
	}
	x.settle()
	return x, nil
}

// Authorize implements request.Authorizer.
func (a *RBAC) Authorize(ctx context.Context, u *request.User, i *request.Info) (d request.Decision, reason string, err error) {
	if u.In(request.GroupMasters) {
		return request.Allow, "", nil
	}
	q := newQuestion(i)
	namespace := scope(i)
	err = a.with(ctx, func(x *index) {
		x.visit(u, namespace, func(b *binding, s subject, r *role) bool {
			for n := range r.rules {
				if r.rules[n].allows(&q) {
					d, reason = request.Allow, b.reason(s)
					return false
				}
			}
			return true
		})
	})
	return d, reason, err
}

// scope is the namespace whose bindings count. A namespace object lies in itself.
func scope(i *request.Info) string {
	switch {
	case !i.IsResource:
		return ""
	case i.Namespace == "" && i.Group == "" && i.Resource == "namespaces":
		return i.Name
	}
	return i.Namespace
}

// Rules implements request.RuleLister.
func (a *RBAC) Rules(ctx context.Context, u *request.User, namespace string) (res []request.ResourceRule, non []request.NonResourceRule, incomplete bool, err error) {
	rules, err := a.Policy(ctx, u, namespace)
	for _, r := range rules {
		if len(r.Resources) > 0 {
			res = append(res, request.ResourceRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
		}
		if len(r.NonResourceURLs) > 0 {
			non = append(non, request.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	return res, non, err != nil, err
}

// Policy lists the rules that apply to the user in a namespace ("" for cluster-wide).
func (a *RBAC) Policy(ctx context.Context, u *request.User, namespace string) (out []rbacv1.PolicyRule, err error) {
	if u.In(request.GroupMasters) {
		all := []string{"*"}
		out = append(out, rbacv1.PolicyRule{Verbs: all, APIGroups: all, Resources: all}, rbacv1.PolicyRule{Verbs: all, NonResourceURLs: all})
	}
	err = a.with(ctx, func(x *index) {
		x.visit(u, namespace, func(b *binding, _ subject, r *role) bool {
			for _, rule := range r.rules {
				if b.key.namespace == "" || len(rule.Resources) > 0 {
					out = append(out, *rule.PolicyRule)
				}
			}
			return true
		})
	})
	return out, err
}

// RoleRules are the rules a role grants, aggregated ones included. namespace ""
// is a ClusterRole.
func (a *RBAC) RoleRules(ctx context.Context, namespace, name string) (out []rbacv1.PolicyRule, found bool, err error) {
	err = a.with(ctx, func(x *index) {
		r := x.roles[roleKey{namespace, name}]
		if found = r != nil; found {
			for _, rule := range r.rules {
				out = append(out, *rule.PolicyRule)
			}
		}
	})
	return out, found, err
}
