// Package deviceadminaccess keeps claims for administrative access to devices, which is
// access to what others use, to namespaces that an administrator has labelled for it. It is
// part of the rules of the kinds, not a plugin that may be switched off.
package deviceadminaccess

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin refuses such claims elsewhere.
type Plugin struct{ r store.Reader }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name tells the plugin from others.
func (Plugin) Name() string { return "DeviceAdminAccess" }

// Handles claims and templates that come: what they claim does not change later.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && (a.Is(resourcev1.GroupName, "resourceclaims") || a.Is(resourcev1.GroupName, "resourceclaimtemplates"))
}

// Validate looks for requests with administrative access, and then at the namespace.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	var claim *resourcev1.ResourceClaimSpec
	what, path := schema.GroupKind{Group: resourcev1.GroupName, Kind: "ResourceClaim"}, field.NewPath("spec")
	switch o := a.Object.(type) {
	case *resourcev1.ResourceClaim:
		claim = &o.Spec
	case *resourcev1.ResourceClaimTemplate:
		claim, what.Kind, path = &o.Spec.Spec, "ResourceClaimTemplate", path.Child("spec")
	default:
		return nil
	}
	var errs field.ErrorList
	for i, r := range claim.Devices.Requests {
		if r.Exactly != nil && r.Exactly.AdminAccess != nil && *r.Exactly.AdminAccess {
			errs = append(errs, field.Forbidden(path.Child("devices", "requests").Index(i).Child("exactly", "adminAccess"),
				"admin access to devices requires the `"+resourcev1.DRAAdminNamespaceLabelKey+": true` label on the containing namespace"))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	ns, found, err := admission.Find[*corev1.Namespace](ctx, p.r, "", "namespaces", store.Key{Name: a.Namespace()})
	if err != nil || found && ns.Labels[resourcev1.DRAAdminNamespaceLabelKey] == "true" {
		return err
	}
	return invalid.New(what, a.Name(), errs)
}
