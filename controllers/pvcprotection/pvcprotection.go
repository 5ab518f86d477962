// Package pvcprotection keeps volume claims until no pod uses them, and volumes until no
// claim is bound to them, by the standard finalizers.
package pvcprotection

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/kit"
)

const (
	claimFinalizer  = "kubernetes.io/pvc-protection"
	volumeFinalizer = "kubernetes.io/pv-protection"
	byClaim         = "claims"
)

// New makes the controller of claims.
func New(e *env.Env) (env.Runner, error) {
	claims, pods := e.PersistentVolumeClaims(), e.Pods()
	pods.AddIndex(byClaim, claimsOf)
	loop := e.Controller("persistentvolumeclaim-protection-controller", func(ctx context.Context, key kit.Key) (kit.Result, error) {
		c, ok := claims.Get(key.Namespace, key.Name)
		if !ok {
			return kit.Result{}, nil
		}
		used := slices.ContainsFunc(pods.ByIndex(byClaim, key.String()), uses)
		finalizers, changed := plan(c, claimFinalizer, used)
		if !changed {
			return kit.Result{}, nil
		}
		if c.DeletionTimestamp != nil {
			// A pod may have come to a node a moment ago: the server is asked before the claim is let go.
			live, err := usedLive(ctx, e, key)
			if live || err != nil {
				return kit.Result{}, err
			}
		}
		out := c.DeepCopy()
		out.Finalizers = finalizers
		_, err := e.Kube.CoreV1().PersistentVolumeClaims(c.Namespace).Update(ctx, out, metav1.UpdateOptions{})
		return kit.Result{}, wrap(err)
	})
	kit.WatchSelf(loop, claims)
	users := func(p *corev1.Pod) {
		for _, name := range claimsOf(p) {
			loop.Add(kit.Key{Namespace: p.Namespace, Name: name[len(p.Namespace)+1:]})
		}
	}
	kit.WatchWith(loop, pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) {
			if podctl.Finished(p) { // the server may have called it a user a moment ago
				users(p)
			}
		},
		Update: func(old, p *corev1.Pod) {
			if podctl.Finished(p) && !podctl.Finished(old) {
				users(p)
			}
		},
		Delete: users,
	})
	return loop, nil
}

// uses: the pod, of a claim, has it or will have it on its node.
func uses(p *corev1.Pod) bool { return !podctl.Finished(p) && p.Spec.NodeName != "" }

// usedLive asks the API server whether a pod uses a claim.
func usedLive(ctx context.Context, e *env.Env, claim kit.Key) (bool, error) {
	list, err := e.Kube.CoreV1().Pods(claim.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("listing pods that may use the claim: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(p corev1.Pod) bool {
		return uses(&p) && slices.Contains(claimsOf(&p), claim.String())
	}), nil
}

// NewForVolumes makes the controller of volumes.
func NewForVolumes(e *env.Env) (env.Runner, error) {
	volumes := e.PersistentVolumes()
	loop := e.Controller("persistentvolume-protection-controller", func(ctx context.Context, key kit.Key) (kit.Result, error) {
		v, ok := volumes.Get("", key.Name)
		if !ok {
			return kit.Result{}, nil
		}
		finalizers, changed := plan(v, volumeFinalizer, v.Status.Phase == corev1.VolumeBound)
		if !changed {
			return kit.Result{}, nil
		}
		out := v.DeepCopy()
		out.Finalizers = finalizers
		_, err := e.Kube.CoreV1().PersistentVolumes().Update(ctx, out, metav1.UpdateOptions{})
		return kit.Result{}, wrap(err)
	})
	kit.WatchSelf(loop, volumes)
	return loop, nil
}

func wrap(err error) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("changing finalizers: %w", err)
}

// claimsOf are the claims a pod uses, as namespace/name.
func claimsOf(p *corev1.Pod) []string {
	var out []string
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			out = append(out, p.Namespace+"/"+v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			out = append(out, p.Namespace+"/"+p.Name+"-"+v.Name)
		}
	}
	return out
}

// plan adds the finalizer to what lives and takes it from what is being deleted and not in use.
func plan(o metav1.Object, name string, used bool) (finalizers []string, changed bool) {
	have := slices.Contains(o.GetFinalizers(), name)
	switch {
	case o.GetDeletionTimestamp() == nil && !have:
		return append(slices.Clone(o.GetFinalizers()), name), true
	case o.GetDeletionTimestamp() != nil && have && !used:
		return slices.DeleteFunc(slices.Clone(o.GetFinalizers()), func(f string) bool { return f == name }), true
	}
	return nil, false
}
