// Package storageobjectinuseprotection gives new volumes and claims the
// finalizer that keeps them while they are used.
package storageobjectinuseprotection

import (
	"context"
	"slices"

	"hyperkube/apiserver/admission"
)

// Finalizers by resource.
const (
	claimFinalizer  = "kubernetes.io/pvc-protection"
	volumeFinalizer = "kubernetes.io/pv-protection"
)

// Plugin is StorageObjectInUseProtection.
type Plugin struct{}

var _ admission.Mutator = Plugin{}

// New makes the plugin.
func New() Plugin { return Plugin{} }

// Name as flags know it.
func (Plugin) Name() string { return "StorageObjectInUseProtection" }

// Handles new volumes and claims.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && (a.Is("", "persistentvolumeclaims") || a.Is("", "persistentvolumes"))
}

// Admit adds the finalizer.
func (Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	f := claimFinalizer
	if a.Info.Resource == "persistentvolumes" {
		f = volumeFinalizer
	}
	if have := a.Object.GetFinalizers(); !slices.Contains(have, f) {
		a.Object.SetFinalizers(append(slices.Clone(have), f))
	}
	return nil
}
