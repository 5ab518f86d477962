// Package resourcequota charges what a write uses to the quotas of its
// namespace, and refuses what would exceed one.
//
//	Charge ─▶ status.used of each quota, in a transaction ─▶ write ─▶ done(held) ─▶ refund when it was not
//	                  ▲ in flight until done ───────────────────────▶ counted by whoever counts anew
//
// Contract: writes side by side cannot pass a limit together. What is deleted
// later is found and freed by the quota controller; when it writes a lower use,
// that is corrected by what is stored and in flight at that moment, for it may have
// counted before an object that is charged was stored. Charges in flight through
// another server are not known here. A quota whose status does not know its limits
// yet is counted here.
package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"hyperkube/api/quota"
	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is ResourceQuota.
type Plugin struct {
	r       store.Reader
	flights *flights
}

var (
	_ admission.Mutator = (*Plugin)(nil)
	_ admission.Charger = (*Plugin)(nil)
)

// New makes the plugin.
func New(r store.Reader) *Plugin { return &Plugin{r: r, flights: newFlights()} }

// Name as flags know it.
func (*Plugin) Name() string { return "ResourceQuota" }

// Handles namespaced creates, updates of what has a size, and the counts that the
// controller writes.
func (*Plugin) Handles(a *admission.Attributes) bool {
	if a.Kind == nil || !a.Kind.Namespaced || a.Kind.IsVirtual || a.Object == nil {
		return false
	}
	if isCount(a) {
		return true
	}
	if a.Subresource != "" && !(a.Subresource == "resize" && a.Operation == admission.Update) {
		return false
	}
	if a.Info.Group == "" && a.Info.Resource == "resourcequotas" && a.Operation == admission.Update {
		return false
	}
	return a.Operation == admission.Create || a.Operation == admission.Update
}

func isCount(a *admission.Attributes) bool {
	return a.Operation == admission.Update && a.Info.Group == "" && a.Info.Resource == "resourcequotas" && a.Subresource == "status"
}

// Bill implements admission.Charger.
func (p *Plugin) Bill(ctx context.Context, a *admission.Attributes) (string, error) {
	charges, err := p.charges(ctx, a)
	var out strings.Builder
	for _, c := range charges {
		fmt.Fprintf(&out, "%s:%s;", c.key.Name, show(slices.Sorted(maps.Keys(c.amounts)), c.amounts))
	}
	return out.String(), err
}

// Charge implements admission.Charger.
func (p *Plugin) Charge(ctx context.Context, a *admission.Attributes) (func(bool), error) {
	charges, err := p.charges(ctx, a)
	if err != nil {
		return nil, err
	}
	for i, c := range charges {
		if err := p.take(ctx, a, c); err != nil {
			p.refund(ctx, a, charges[:i])
			return nil, err
		}
	}
	return func(held bool) {
		if !held {
			p.refund(ctx, a, charges)
			return
		}
		for _, c := range charges {
			p.flights.land(c.key, a.Object.GetUID())
		}
	}, nil
}

// charges are what each quota that limits the object is asked for.
func (p *Plugin) charges(ctx context.Context, a *admission.Attributes) ([]charge, error) {
	if isCount(a) {
		return nil, nil
	}
	quotas, err := admission.All[*corev1.ResourceQuota](ctx, p.r, "", "resourcequotas", a.Namespace())
	if err != nil || len(quotas) == 0 {
		return nil, err
	}
	var out []charge
	delta := added(a)
	for _, q := range quotas {
		if err := p.demands(a, q); err != nil {
			return nil, err
		}
		if amounts := limited(q, a, delta); len(amounts) > 0 {
			out = append(out, charge{key: store.Key{Namespace: q.Namespace, Name: q.Name}, amounts: amounts})
		}
	}
	return out, nil
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
func (p *Plugin) demands(a *admission.Attributes, q *corev1.ResourceQuota) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || a.Operation != admission.Create || !quota.Covers(q, pod) {
		return nil
	}
	if missing := quota.Unspecified(pod, q.Spec.Hard); len(missing) > 0 {
		return admission.Forbid(a, "failed quota: %s: must specify %s", q.Name, strings.Join(missing, "; "))
	}
	return nil
}

// take charges one quota. Charges of one quota take turns here: they would lose
// each other's transactions anyway.
func (p *Plugin) take(ctx context.Context, a *admission.Attributes, c charge) error {
	col, ok := p.r.Collection("", "resourcequotas")
	if !ok {
		return fmt.Errorf("no collection of resourcequotas")
	}
	leave, err := p.flights.enter(ctx, c.key)
	if err != nil {
		return err
	}
	defer leave()
	_, err = col.Update(ctx, c.key, func(e *store.Entry) (store.Object, error) {
		present, ok := e.Object.(*corev1.ResourceQuota)
		if !ok {
			return e.Object, nil
		}
		q := present.DeepCopy()
		if !known(q) {
			if q.Status.Used, err = p.truth(ctx, q); err != nil {
				return nil, err
			}
			q.Status.Hard = q.Spec.Hard.DeepCopy()
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
	if errors.Is(err, store.ErrNotFound) {
		return nil // the quota went meanwhile
	}
	if err == nil && !a.DryRun {
		p.flights.begin(c.key, a)
	}
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
		} else if used.Sub(amount); used.Sign() < 0 {
			used = resource.Quantity{} // counted anew meanwhile
		}
		q.Status.Used[name] = used
	}
}

const refundTimeout = 10 * time.Second

// refund gives back what was charged for a write that did not hold, also when its
// client has gone. What cannot be given back now, the controller corrects.
func (p *Plugin) refund(ctx context.Context, a *admission.Attributes, charges []charge) {
	col, ok := p.r.Collection("", "resourcequotas")
	if !ok || a.DryRun {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refundTimeout)
	defer cancel()
	for _, c := range charges {
		leave, err := p.flights.enter(ctx, c.key)
		if err != nil {
			p.flights.land(c.key, a.Object.GetUID())
			continue
		}
		_, _ = col.Update(ctx, c.key, func(e *store.Entry) (store.Object, error) {
			q, ok := e.Object.DeepCopyObject().(*corev1.ResourceQuota)
			if !ok {
				return e.Object, nil
			}
			add(q, c.amounts, -1)
			return q, nil
		})
		p.flights.land(c.key, a.Object.GetUID())
		leave()
	}
}
