// Package denyserviceexternalips keeps services from naming external addresses that they
// have not named before: whoever may make a service could else draw to it what is sent to
// any address. It is off unless asked for.
package denyserviceexternalips

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/admission"
)

// Name of the plugin as flags know it.
const Name = "DenyServiceExternalIPs"

// Plugin is DenyServiceExternalIPs.
type Plugin struct{}

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New() Plugin { return Plugin{} }

// Name as flags know it.
func (Plugin) Name() string { return Name }

// Handles services that come and change.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Subresource == "" && a.Is("", "services") && (a.Operation == admission.Create || a.Operation == admission.Update)
}

// Validate refuses external addresses that the service did not have; it may give up what it has.
func (Plugin) Validate(_ context.Context, a *admission.Attributes) error {
	now, ok := a.Object.(*corev1.Service)
	if !ok {
		return nil
	}
	var had []string
	if old, ok := a.Old.(*corev1.Service); ok {
		had = old.Spec.ExternalIPs
	}
	for _, ip := range now.Spec.ExternalIPs {
		if !slices.Contains(had, ip) {
			return admission.Forbid(a, "spec.externalIPs: %q may not be added, as the admission plugin %s is on", ip, Name)
		}
	}
	return nil
}
