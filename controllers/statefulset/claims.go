package statefulset

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A claim goes with the object that owns it: with the set when the retention policy says so, with the pod
// when the set has become smaller. The garbage collector does the rest.

// claimOwners returns the owners that a claim should have; same: it has them. condemned says that the
// claim's pod is beyond the wanted number.
func claimOwners(s *appsv1.StatefulSet, c *corev1.PersistentVolumeClaim, pod *corev1.Pod, condemned bool) (owners []metav1.OwnerReference, same bool) {
	var policy appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy
	if p := s.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		policy = *p
	}
	byPod := condemned && policy.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	bySet := !byPod && policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	other := metav1.GetControllerOfNoCopy(c)
	if (byPod || bySet) && other != nil && other.UID != s.UID && !ofPod(*other, pod) {
		return c.OwnerReferences, true // somebody else's: leave it to them
	}
	hasSet, hasPod := false, false
	for _, o := range c.OwnerReferences {
		switch {
		case o.UID == s.UID:
			hasSet = true
			if !bySet {
				continue
			}
		case ofPod(o, pod):
			hasPod = hasPod || o.UID == pod.UID
			if !byPod || o.UID != pod.UID {
				continue
			}
		}
		owners = append(owners, o)
	}
	if bySet && !hasSet {
		owners = append(owners, *metav1.NewControllerRef(s, gvk))
	}
	if byPod && !hasPod {
		owners = append(owners, *metav1.NewControllerRef(pod, corev1.SchemeGroupVersion.WithKind("Pod")))
	}
	return owners, slices.EqualFunc(owners, c.OwnerReferences, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID })
}

// ofPod: the reference is to the claim's pod, of this life or an earlier one.
func ofPod(o metav1.OwnerReference, pod *corev1.Pod) bool {
	return o.Kind == "Pod" && o.Name == pod.Name
}

// own brings the owners of all claims up to date. It comes before pods are removed, so that a claim goes
// with the pod that it should go with.
func (c *controller) own(ctx context.Context, set *appsv1.StatefulSet, pods []*corev1.Pod) error {
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return nil
	}
	for _, pod := range pods {
		ordinal := ordinalOf(set, pod)
		if ordinal < 0 {
			continue
		}
		at := ordinal - startOf(set)
		for i := range set.Spec.VolumeClaimTemplates {
			claim, ok := c.claims.Get(set.Namespace, claimName(set, &set.Spec.VolumeClaimTemplates[i], ordinal))
			if !ok || claim.DeletionTimestamp != nil {
				continue
			}
			owners, same := claimOwners(set, claim, pod, at < 0 || at >= replicasOf(set))
			if same {
				continue
			}
			if err := c.writeOwners(ctx, claim, owners); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *controller) writeOwners(ctx context.Context, claim *corev1.PersistentVolumeClaim, owners []metav1.OwnerReference) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": claim.UID, "resourceVersion": claim.ResourceVersion, "ownerReferences": owners}})
	if err != nil {
		return err
	}
	_, err = c.kube.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("setting the owners of claim %s: %w", claim.Name, err)
	}
	return nil
}
