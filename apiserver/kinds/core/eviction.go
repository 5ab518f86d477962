package core

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
	"hyperkube/internal/selector"
	"hyperkube/store"
)

// maxDisrupted bounds the pods a budget remembers as about to go.
const maxDisrupted = 2000

// evict deletes a pod if its disruption budget allows.
//
//	running, has a budget ──▶ spend one disruption ──▶ DisruptionTarget=True ──▶ graceful delete
//	ended, pending, deleted already, or without budget ──────────▲
func evict(ctx context.Context, env kind.Env, key store.Key, body runtime.Object, o kind.CreateOptions) (runtime.Object, error) {
	ev, ok := body.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", body))
	}
	if ev.Name != "" && ev.Name != key.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	options := metav1.DeleteOptions{}
	if ev.DeleteOptions != nil {
		options = *ev.DeleteOptions
	}
	for _, d := range options.DryRun {
		o.DryRun = o.DryRun || d == metav1.DryRunAll
	}
	pods, err := collection(env, "", "pods")
	if err != nil {
		return nil, err
	}
	e, err := get(ctx, pods, key)
	if err != nil {
		return nil, err
	}
	p := e.Object.(*corev1.Pod)
	if err := meets(p, options.Preconditions, key.Name); err != nil {
		return nil, err
	}
	if !ignoresBudgets(p) {
		if err := spendBudget(ctx, env, p, o.DryRun); err != nil {
			return nil, err
		}
	}
	if o.DryRun {
		return success(), nil
	}
	if err := deleteEvicted(ctx, env, pods, p, options); err != nil {
		return nil, err
	}
	return success(), nil
}

// ignoresBudgets: nobody is served by this pod any more, or yet.
func ignoresBudgets(p *corev1.Pod) bool {
	switch p.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodPending:
		return true
	}
	return p.DeletionTimestamp != nil
}

func meets(p *corev1.Pod, pre *metav1.Preconditions, name string) error {
	gr := schema.GroupResource{Resource: "pods"}
	switch {
	case pre == nil:
	case pre.UID != nil && *pre.UID != p.UID:
		return apierrors.NewConflict(gr, name, fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *pre.UID, p.UID))
	case pre.ResourceVersion != nil && *pre.ResourceVersion != p.ResourceVersion:
		return apierrors.NewConflict(gr, name, fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *pre.ResourceVersion, p.ResourceVersion))
	}
	return nil
}

// spendBudget takes one disruption from the budget that covers p, if any.
func spendBudget(ctx context.Context, env kind.Env, p *corev1.Pod, dryRun bool) error {
	budgets, ok := env.Collection("policy", "poddisruptionbudgets")
	if !ok {
		return nil
	}
	b, err := budgetOf(ctx, budgets, p)
	if b == nil || err != nil {
		return err
	}
	if unhealthyMayGo(p, b) {
		return nil
	}
	key := store.Key{Namespace: b.Namespace, Name: b.Name}
	err = update(ctx, budgets, key, dryRun, func(e *store.Entry) (store.Object, error) {
		return spent(e.Object.(*policyv1.PodDisruptionBudget), p.Name, metav1.NewTime(env.Now()).Rfc3339Copy())
	})
	if apierrors.IsNotFound(err) { // the budget went meanwhile
		return nil
	}
	return err
}

func budgetOf(ctx context.Context, budgets store.Collection, p *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	list, err := budgets.List(ctx, store.ListOptions{Filter: store.Filter{Namespace: p.Namespace}})
	if err != nil {
		return nil, fmt.Errorf("listing disruption budgets: %w", err)
	}
	var found *policyv1.PodDisruptionBudget
	for e := range list.Entries {
		b := e.Object.(*policyv1.PodDisruptionBudget)
		if !selector.Matches(b.Spec.Selector, p.Labels) {
			continue
		}
		if found != nil {
			return nil, apierrors.NewInternalError(errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")) //nolint:staticcheck // shown to users as is
		}
		found = b
	}
	return found, nil
}

// unhealthyMayGo: a pod that serves nobody may go if the budget says so, or if
// its fellows are as many as wanted without it.
func unhealthyMayGo(p *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	if rules.PodReady(p) {
		return false
	}
	if u := b.Spec.UnhealthyPodEvictionPolicy; u != nil && *u == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.DesiredHealthy > 0 && b.Status.CurrentHealthy >= b.Status.DesiredHealthy
}

// spent is b with one disruption less, or the refusal.
func spent(b *policyv1.PodDisruptionBudget, pod string, now metav1.Time) (*policyv1.PodDisruptionBudget, error) {
	gr := schema.GroupResource{Group: "policy", Resource: "poddisruptionbudgets"}
	switch s := &b.Status; {
	case s.ObservedGeneration < b.Generation:
		return nil, tooMany(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case s.DisruptionsAllowed < 0:
		return nil, apierrors.NewForbidden(gr, b.Name, errors.New("pdb disruptions allowed is negative"))
	case len(s.DisruptedPods) > maxDisrupted:
		return nil, apierrors.NewForbidden(gr, b.Name, errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
	case s.DisruptionsAllowed == 0:
		return nil, tooMany(0, fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, s.DesiredHealthy, s.CurrentHealthy))
	}
	out := *b
	out.Status.DisruptionsAllowed--
	out.Status.DisruptedPods = maps.Clone(b.Status.DisruptedPods)
	if out.Status.DisruptedPods == nil {
		out.Status.DisruptedPods = make(map[string]metav1.Time, 1)
	}
	out.Status.DisruptedPods[pod] = now
	return &out, nil
}

// tooMany is the refusal of a budget: 429 with the cause kubectl drain looks for.
func tooMany(retryAfter int, why string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: why})
	return err
}
