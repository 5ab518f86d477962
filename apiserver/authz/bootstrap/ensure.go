package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/component-helpers/auth/rbac/validation"

	"golang.org/x/sync/errgroup"

	"hyperkube/store"
)

// atOnce is how many writes are under way together: etcd commits them in batches.
const atOnce = 64

// Ensure writes the default policy: what is missing is created, what is there
// gets the rules and subjects it lacks. The namespaces kube-system and
// kube-public need not exist yet.
func Ensure(ctx context.Context, r store.Reader, now time.Time) error {
	return Default().Ensure(ctx, r, now)
}

// Ensure writes this policy. Objects that are stored and cannot be read are left
// as they are; when nothing else failed, the error is an ErrUnreadable that names
// them all, and everything else is written.
func (p *Policy) Ensure(ctx context.Context, r store.Reader, now time.Time) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	e := ensurer{ctx: ctx, g: g, r: r, left: &Left{}, now: metav1.NewTime(now.Truncate(time.Second))}
	for _, o := range p.ClusterRoles {
		e.ensure("clusterroles", o, func(present store.Object) store.Object { return mergeClusterRole(present.(*rbacv1.ClusterRole), o) })
	}
	for _, o := range p.Roles {
		e.ensure("roles", o, func(present store.Object) store.Object { return mergeRole(present.(*rbacv1.Role), o) })
	}
	for _, o := range p.ClusterRoleBindings {
		e.ensure("clusterrolebindings", o, func(present store.Object) store.Object {
			return mergeClusterBinding(present.(*rbacv1.ClusterRoleBinding), o)
		})
	}
	for _, o := range p.RoleBindings {
		e.ensure("rolebindings", o, func(present store.Object) store.Object { return mergeBinding(present.(*rbacv1.RoleBinding), o) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return e.left.Err()
}

// Left gathers what could not be written because what is there cannot be read. It
// is safe for several goroutines.
type Left struct {
	mu   sync.Mutex
	errs []error
}

// Pass keeps an ErrUnreadable and returns every other error.
func (l *Left) Pass(err error) error {
	if !errors.Is(err, store.ErrUnreadable) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
	return nil
}

// Err is all that was kept, nil for nothing.
func (l *Left) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

type ensurer struct {
	left *Left
	ctx  context.Context
	g    *errgroup.Group
	r    store.Reader
	now  metav1.Time
}

// ensure creates want, or stores what merge makes of the present object when it
// differs.
func (e ensurer) ensure(resource string, want store.Object, merge func(present store.Object) store.Object) {
	e.g.Go(func() error {
		if err := e.one(resource, want, merge); err != nil {
			return e.left.Pass(fmt.Errorf("bootstrapping %s %s: %w", resource, want.GetName(), err))
		}
		return nil
	})
}

func (e ensurer) one(resource string, want store.Object, merge func(store.Object) store.Object) error {
	c, ok := e.r.Collection(rbacv1.GroupName, resource)
	if !ok {
		return errors.New("no such collection")
	}
	key := store.Key{Namespace: want.GetNamespace(), Name: want.GetName()}
	present, err := c.Get(e.ctx, key, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		want.SetUID(uuid.NewUUID())
		want.SetCreationTimestamp(e.now)
		if _, err = c.Create(e.ctx, want); !errors.Is(err, store.ErrExists) {
			return err
		}
	} else if err != nil || merge(present.Object) == present.Object {
		return err
	}
	_, err = c.Update(e.ctx, key, func(present *store.Entry) (store.Object, error) { return merge(present.Object), nil })
	return err
}

// protected objects belong to the administrator.
func protected(o metav1.Object) bool {
	return o.GetAnnotations()[rbacv1.AutoUpdateAnnotationKey] == "false"
}

// The merge functions return present itself when nothing is to be done.

func mergeClusterRole(present, want *rbacv1.ClusterRole) store.Object {
	if protected(present) {
		return present
	}
	out := present.DeepCopy()
	mergeMeta(&out.ObjectMeta, &want.ObjectMeta)
	out.Rules = addRules(out.Rules, want.Rules)
	if want.AggregationRule != nil {
		if out.AggregationRule == nil {
			out.AggregationRule = &rbacv1.AggregationRule{}
		}
		for _, s := range want.AggregationRule.ClusterRoleSelectors {
			if !hasSelector(out.AggregationRule.ClusterRoleSelectors, s) {
				out.AggregationRule.ClusterRoleSelectors = append(out.AggregationRule.ClusterRoleSelectors, s)
			}
		}
	}
	if equality.Semantic.DeepEqual(present, out) {
		return present
	}
	return out
}

func mergeRole(present, want *rbacv1.Role) store.Object {
	if protected(present) {
		return present
	}
	out := present.DeepCopy()
	mergeMeta(&out.ObjectMeta, &want.ObjectMeta)
	out.Rules = addRules(out.Rules, want.Rules)
	if equality.Semantic.DeepEqual(present, out) {
		return present
	}
	return out
}

func mergeClusterBinding(present, want *rbacv1.ClusterRoleBinding) store.Object {
	if protected(present) || present.RoleRef != want.RoleRef {
		return present
	}
	out := present.DeepCopy()
	mergeMeta(&out.ObjectMeta, &want.ObjectMeta)
	out.Subjects = addSubjects(out.Subjects, want.Subjects)
	if equality.Semantic.DeepEqual(present, out) {
		return present
	}
	return out
}

func mergeBinding(present, want *rbacv1.RoleBinding) store.Object {
	if protected(present) || present.RoleRef != want.RoleRef {
		return present
	}
	out := present.DeepCopy()
	mergeMeta(&out.ObjectMeta, &want.ObjectMeta)
	out.Subjects = addSubjects(out.Subjects, want.Subjects)
	if equality.Semantic.DeepEqual(present, out) {
		return present
	}
	return out
}

func mergeMeta(out, want *metav1.ObjectMeta) {
	add := func(to *map[string]string, from map[string]string) {
		for k, v := range from {
			if *to == nil {
				*to = map[string]string{}
			}
			(*to)[k] = v
		}
	}
	add(&out.Labels, want.Labels)
	add(&out.Annotations, want.Annotations)
}

func addRules(have, want []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	if ok, missing := validation.Covers(have, want); !ok {
		return append(have, missing...)
	}
	return have
}

func addSubjects(have, want []rbacv1.Subject) []rbacv1.Subject {
next:
	for _, w := range want {
		for _, h := range have {
			if h == w {
				continue next
			}
		}
		have = append(have, w)
	}
	return have
}

func hasSelector(list []metav1.LabelSelector, s metav1.LabelSelector) bool {
	for i := range list {
		if equality.Semantic.DeepEqual(list[i], s) {
			return true
		}
	}
	return false
}
