// Package defaultstorageclass names the default storage class in claims that
// name none. An empty name is a choice and stays.
package defaultstorageclass

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Marks of a default class.
const (
	annotation     = "storageclass.kubernetes.io/is-default-class"
	betaAnnotation = "storageclass.beta.kubernetes.io/is-default-class"
	oldClaimMark   = "volume.beta.kubernetes.io/storage-class"
)

// Plugin is DefaultStorageClass.
type Plugin struct{ r store.Reader }

var _ admission.Mutator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "DefaultStorageClass" }

// Handles new claims.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && a.Is("", "persistentvolumeclaims")
}

// Admit names the newest of the default classes.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pvc, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok || pvc.Spec.StorageClassName != nil {
		return nil
	}
	if _, ok := pvc.Annotations[oldClaimMark]; ok {
		return nil
	}
	list, err := admission.All[*storagev1.StorageClass](ctx, p.r, storagev1.GroupName, "storageclasses", "")
	if err != nil {
		return err
	}
	if c := newestDefault(list); c != nil {
		pvc.Spec.StorageClassName = &c.Name
	}
	return nil
}

func newestDefault(list []*storagev1.StorageClass) *storagev1.StorageClass {
	var out *storagev1.StorageClass
	for _, c := range list {
		if c.Annotations[annotation] != "true" && c.Annotations[betaAnnotation] != "true" {
			continue
		}
		if out == nil || out.CreationTimestamp.Before(&c.CreationTimestamp) ||
			out.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < out.Name {
			out = c
		}
	}
	return out
}
