// Package persistentvolumeclaimresize lets a bound claim grow only when its
// storage class allows it.
package persistentvolumeclaimresize

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is PersistentVolumeClaimResize.
type Plugin struct{ r store.Reader }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "PersistentVolumeClaimResize" }

// Handles changed claims.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Update && a.Is("", "persistentvolumeclaims")
}

// Validate looks up the class.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pvc, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, ok2 := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok || !ok2 {
		return nil
	}
	was, is := old.Spec.Resources.Requests[corev1.ResourceStorage], pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	if is.Cmp(was) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return admission.Forbid(a, "Only bound persistent volume claims can be expanded")
	}
	if name := pvc.Spec.StorageClassName; name != nil && *name != "" {
		c, found, err := admission.Find[*storagev1.StorageClass](ctx, p.r, storagev1.GroupName, "storageclasses", store.Key{Name: *name})
		if err != nil {
			return err
		}
		if found && c.AllowVolumeExpansion != nil && *c.AllowVolumeExpansion {
			return nil
		}
	}
	return admission.Forbid(a, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
}
