// Package resourcequota charges what a write uses to the quotas of its
// namespace, and refuses what would exceed one.
//
// A charge is one transaction on the quota's status, so that writes side by side
// cannot pass a limit together. What is charged and then not stored, or deleted
// later, is found and freed by the quota controller. A quota whose status does
// not know its limits yet is counted here from what is stored.
package resourcequota

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/api/quota"
	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is ResourceQuota.
type Plugin struct{ r store.Reader }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "ResourceQuota" }

// Handles namespaced creates, and updates of what has a size.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Kind == nil || !a.Kind.Namespaced || a.Kind.IsVirtual || a.Object == nil {
		return false
	}
	if a.Subresource != "" && !(a.Subresource == "resize" && a.Operation == admission.Update) {
		return false
	}
	if a.Info.Group == "" && a.Info.Resource == "resourcequotas" && a.Operation == admission.Update {
		return false
	}
	return a.Operation == admission.Create || a.Operation == admission.Update
}

// Validate charges every quota that limits the object.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	quotas, err := admission.All[*corev1.ResourceQuota](ctx, p.r, "", "resourcequotas", a.Namespace())
	if err != nil || len(quotas) == 0 {
		return err
	}
	delta := added(a)
	var charged []charge
	for _, q := range quotas {
		c := charge{key: store.Key{Namespace: q.Namespace, Name: q.Name}, amounts: limited(q, a, delta)}
		err := p.demands(a, q)
		if err == nil && len(c.amounts) > 0 {
			err = p.take(ctx, a, c)
		}
		if err != nil {
			p.refund(ctx, charged)
			return err
		}
		if len(c.amounts) > 0 && !a.DryRun {
			charged = append(charged, c)
		}
	}
	return nil
}

// charge is what one quota is asked for.
type charge struct {
	key     store.Key
	amounts corev1.ResourceList
}

// added is what the write uses beyond what was used before.
func added(a *admission.Attributes) corev1.ResourceList {
	gr := a.Info.GVR().GroupResource()
	use := quota.Usage(gr, a.Object)
	if a.Operation == admission.Update && a.Old != nil {
		for name, was := range quota.Usage(gr, a.Old) {
			is := use[name]
			is.Sub(was)
			use[name] = is
		}
	}
	maps.DeleteFunc(use, func(_ corev1.ResourceName, q resource.Quantity) bool { return q.Sign() <= 0 })
	return use
}

func limited(q *corev1.ResourceQuota, a *admission.Attributes, delta corev1.ResourceList) corev1.ResourceList {
	if !quota.Covers(q, a.Object) {
		return nil
	}
	out := corev1.ResourceList{}
	for name, amount := range delta {
		if _, ok := q.Spec.Hard[name]; ok {
			out[name] = amount
		}
	}
	return out
}

// demands: a quota on compute wants every container to say what it needs.
func (p Plugin) demands(a *admission.Attributes, q *corev1.ResourceQuota) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || a.Operation != admission.Create || !quota.Covers(q, pod) {
		return nil
	}
	if missing := quota.Unspecified(pod, q.Spec.Hard); len(missing) > 0 {
		return admission.Forbid(a, "failed quota: %s: must specify %s", q.Name, strings.Join(missing, "; "))
	}
	return nil
}

func (p Plugin) take(ctx context.Context, a *admission.Attributes, c charge) error {
	col, ok := p.r.Collection("", "resourcequotas")
	if !ok {
		return fmt.Errorf("no collection of resourcequotas")
	}
	var counted corev1.ResourceList
	if e, err := col.Get(ctx, c.key, store.Freshness{Any: true}); err == nil {
		if q, ok := e.Object.(*corev1.ResourceQuota); ok && !known(q) {
			if counted, err = p.count(ctx, q); err != nil {
				return err
			}
		}
	}
	_, err := col.Update(ctx, c.key, func(e *store.Entry) (store.Object, error) {
		present, ok := e.Object.(*corev1.ResourceQuota)
		if !ok {
			return e.Object, nil
		}
		q := present.DeepCopy()
		if !known(q) && counted != nil {
			q.Status.Hard, q.Status.Used = q.Spec.Hard.DeepCopy(), counted.DeepCopy()
		}
		if err := exceeds(a, q, c.amounts); err != nil {
			return nil, err
		}
		if a.DryRun {
			return e.Object, nil
		}
		add(q, c.amounts, 1)
		return q, nil
	})
	return err
}

// known: the status speaks of the limits in the spec.
func known(q *corev1.ResourceQuota) bool {
	for name, want := range q.Spec.Hard {
		have, ok := q.Status.Hard[name]
		if _, used := q.Status.Used[name]; !ok || !used || have.Cmp(want) != 0 {
			return false
		}
	}
	return true
}

// count measures what is stored of everything that the quota limits.
func (p Plugin) count(ctx context.Context, q *corev1.ResourceQuota) (corev1.ResourceList, error) {
	return quota.Total(q, func(gr schema.GroupResource) ([]store.Object, error) {
		return admission.All[store.Object](ctx, p.r, gr.Group, gr.Resource, q.Namespace)
	})
}

func exceeds(a *admission.Attributes, q *corev1.ResourceQuota, want corev1.ResourceList) error {
	var over []corev1.ResourceName
	for name, amount := range want {
		total := q.Status.Used[name].DeepCopy()
		total.Add(amount)
		if hard := q.Status.Hard[name]; total.Cmp(hard) > 0 {
			over = append(over, name)
		}
	}
	if len(over) == 0 {
		return nil
	}
	slices.Sort(over)
	return admission.Forbid(a, "exceeded quota: %s, requested: %s, used: %s, limited: %s", q.Name,
		show(over, want), show(over, q.Status.Used), show(over, q.Status.Hard))
}

func show(names []corev1.ResourceName, l corev1.ResourceList) string {
	out := make([]string, len(names))
	for i, n := range names {
		q := l[n]
		out[i] = string(n) + "=" + q.String()
	}
	return strings.Join(out, ",")
}

func add(q *corev1.ResourceQuota, amounts corev1.ResourceList, sign int) {
	if q.Status.Used == nil {
		q.Status.Used = corev1.ResourceList{}
	}
	for name, amount := range amounts {
		used := q.Status.Used[name].DeepCopy()
		if sign > 0 {
			used.Add(amount)
		} else {
			used.Sub(amount)
		}
		q.Status.Used[name] = used
	}
}

// refund gives back what was charged to other quotas before one refused. What
// cannot be given back now, the controller corrects.
func (p Plugin) refund(ctx context.Context, charged []charge) {
	col, ok := p.r.Collection("", "resourcequotas")
	if !ok {
		return
	}
	for _, c := range charged {
		_, _ = col.Update(ctx, c.key, func(e *store.Entry) (store.Object, error) {
			q, ok := e.Object.DeepCopyObject().(*corev1.ResourceQuota)
			if !ok {
				return e.Object, nil
			}
			add(q, c.amounts, -1)
			return q, nil
		})
	}
}
