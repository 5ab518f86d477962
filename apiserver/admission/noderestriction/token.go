package noderestriction

import (
	"context"
	"slices"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// token requests must be bound to a pod on the node that uses the account, and be
// for an audience that the pod has use for.
func (p Plugin) token(ctx context.Context, a *admission.Attributes, node string) error {
	tr, ok := a.Body.(*authv1.TokenRequest)
	if !ok {
		return admission.Forbid(a, "node %q may only request tokens", node)
	}
	ref := tr.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return admission.Forbid(a, "node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return admission.Forbid(a, "node requested token with a pod binding without a uid")
	}
	return confirmed(func(f store.Freshness) error {
		pod, found, err := admission.FindAt[*corev1.Pod](ctx, p.r, "", "pods", store.Key{Namespace: a.Namespace(), Name: ref.Name}, f)
		switch {
		case err != nil:
			return err
		case !found:
			return admission.Forbid(a, "pod not found")
		case pod.UID != ref.UID:
			return admission.Forbid(a, "the UID in the bound object reference (%s) does not match the UID in record (%s). "+
				"The object might have been deleted and then recreated", ref.UID, pod.UID)
		case pod.Spec.NodeName != node:
			return admission.Forbid(a, "node requested token bound to a pod scheduled on a different node")
		}
		return p.audience(ctx, a, pod, tr.Spec.Audiences)
	})
}

// verbAudience is what an administrator grants on a resource that is called like
// the audience, for tokens that a kubelet wants beyond what pods name (credentials
// for image registries).
const verbAudience = "request-serviceaccounts-token-audience"

func (p Plugin) audience(ctx context.Context, a *admission.Attributes, pod *corev1.Pod, asked []string) error {
	if len(asked) > 1 {
		return admission.Forbid(a, "node may only request 0 or 1 audiences")
	}
	want := ""
	if len(asked) == 1 {
		want = asked[0]
	}
	if named, err := p.podNames(ctx, pod, p.plain(want)); named || err != nil {
		return err
	}
	if want != "" && p.auth != nil {
		d, _, err := p.auth.Authorize(ctx, a.User, &request.Info{
			IsResource: true, Verb: verbAudience, APIPrefix: "api", Version: "v1", Resource: want, Namespace: a.Namespace(), Name: a.Info.Name,
		})
		if err == nil && d == request.Allow {
			return nil
		}
	}
	return admission.Forbid(a, "audience %q not found in pod spec volume, %s is not authorized to request tokens for this audience", want, a.User.Name)
}

// plain is the audience, or "" for one of this API server's: both ask for the same token.
func (p Plugin) plain(audience string) string {
	if slices.Contains(p.own, audience) {
		return ""
	}
	return audience
}

// podNames reports whether a volume of the pod is filled with tokens for the audience.
func (p Plugin) podNames(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil && p.plain(s.ServiceAccountToken.Audience) == audience {
					return true, nil
				}
			}
		}
		driver, err := p.driverOf(ctx, pod, v)
		if err != nil {
			return false, err
		}
		if driver == "" {
			continue
		}
		d, found, err := admission.Find[*storagev1.CSIDriver](ctx, p.r, storagev1.GroupName, "csidrivers", store.Key{Name: driver})
		if err != nil {
			return false, err
		}
		if found && slices.ContainsFunc(d.Spec.TokenRequests, func(t storagev1.TokenRequest) bool { return p.plain(t.Audience) == audience }) {
			return true, nil
		}
	}
	return false, nil
}

// driverOf is the CSI driver behind a volume, "" for none.
func (p Plugin) driverOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	var claim string
	switch {
	case v.CSI != nil:
		return v.CSI.Driver, nil
	case v.PersistentVolumeClaim != nil:
		claim = v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		claim = pod.Name + "-" + v.Name
	default:
		return "", nil
	}
	pvc, found, err := admission.Find[*corev1.PersistentVolumeClaim](ctx, p.r, "", "persistentvolumeclaims", store.Key{Namespace: pod.Namespace, Name: claim})
	if err != nil || !found || pvc.Spec.VolumeName == "" {
		return "", err
	}
	pv, found, err := admission.Find[*corev1.PersistentVolume](ctx, p.r, "", "persistentvolumes", store.Key{Name: pvc.Spec.VolumeName})
	if err != nil || !found || pv.Spec.CSI == nil {
		return "", err
	}
	return pv.Spec.CSI.Driver, nil
}
