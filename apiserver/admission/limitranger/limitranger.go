// Package limitranger applies the LimitRanges of a namespace: default requests
// and limits for containers, and bounds for containers, pods and claims.
package limitranger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/internal/bounds"
	"hyperkube/store"
)

// Plugin is LimitRanger.
type Plugin struct{ r store.Reader }

var (
	_ admission.Mutator   = Plugin{}
	_ admission.Validator = Plugin{}
)

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "LimitRanger" }

// Handles new pods and claims, and claims and pods that are resized.
func (Plugin) Handles(a *admission.Attributes) bool {
	switch {
	case a.Is("", "pods"):
		return a.Operation == admission.Create
	case a.Info.Group == "" && a.Info.Resource == "pods" && a.Subresource == "resize":
		return a.Operation == admission.Update
	case a.Is("", "persistentvolumeclaims"):
		return a.Operation == admission.Create || a.Operation == admission.Update
	}
	return false
}

func (p Plugin) ranges(ctx context.Context, a *admission.Attributes) ([]*corev1.LimitRange, error) {
	return admission.All[*corev1.LimitRange](ctx, p.r, "", "limitranges", a.Namespace())
}

// Admit fills in defaults.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || a.Operation != admission.Create {
		return nil
	}
	list, err := p.ranges(ctx, a)
	if err != nil {
		return err
	}
	for _, r := range list {
		applyDefaults(r, pod)
	}
	return nil
}

// Validate checks the bounds.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	list, err := p.ranges(ctx, a)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range list {
		switch o := a.Object.(type) {
		case *corev1.Pod:
			errs = append(errs, checkPod(r, o)...)
		case *corev1.PersistentVolumeClaim:
			errs = append(errs, checkClaim(r, o)...)
		}
	}
	if len(errs) > 0 {
		return admission.Forbid(a, "%w", joined(errs))
	}
	return nil
}

// joined writes several complaints as kubectl users know them: [a, b]. A pod can
// have as many containers as its body has room for; what is beyond the bound is
// counted.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	more := len(errs) - bounds.Errors
	if more > 0 {
		errs = errs[:bounds.Errors]
	}
	all := make([]string, len(errs))
	for i, e := range errs {
		all[i] = e.Error()
	}
	text := "[" + strings.Join(all, ", ")
	if more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return errors.New(text + "]")
}
