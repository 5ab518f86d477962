package authz

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/store"
)

// isMirror: a mirror pod speaks for a static one, which cannot use API objects. A
// kubelet makes it, so it must not lead to anything.
func isMirror(p *corev1.Pod) bool {
	_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}

// refers reports whether the pod's spec names the object of its own namespace.
func refers(p *corev1.Pod, resource, name string) (found bool) {
	if isMirror(p) || name == "" {
		return false
	}
	switch resource {
	case "serviceaccounts":
		return p.Spec.ServiceAccountName == name
	case "persistentvolumeclaims":
		for i := range p.Spec.Volumes {
			if claimOf(p, &p.Spec.Volumes[i]) == name {
				return true
			}
		}
		return false
	case "resourceclaims":
		return refersClaim(p, name)
	}
	visit := func(res, n string) { found = found || res == resource && n == name }
	for _, s := range p.Spec.ImagePullSecrets {
		visit("secrets", s.Name)
	}
	for i := range p.Spec.Volumes {
		visitVolume(&p.Spec.Volumes[i], visit)
	}
	visitContainers(p, visit)
	return found
}

func claimOf(p *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return p.Name + "-" + v.Name
	}
	return ""
}

func refersClaim(p *corev1.Pod, name string) bool {
	for _, c := range p.Spec.ResourceClaims {
		if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
			return true
		}
	}
	for _, c := range p.Status.ResourceClaimStatuses {
		if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
			return true
		}
	}
	return false
}

func visitContainers(p *corev1.Pod, visit func(resource, name string)) {
	one := func(env []corev1.EnvVar, from []corev1.EnvFromSource) {
		for _, e := range env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil {
				visit("secrets", r.Name)
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
				visit("configmaps", r.Name)
			}
		}
		for _, f := range from {
			if f.SecretRef != nil {
				visit("secrets", f.SecretRef.Name)
			}
			if f.ConfigMapRef != nil {
				visit("configmaps", f.ConfigMapRef.Name)
			}
		}
	}
	for _, c := range p.Spec.InitContainers {
		one(c.Env, c.EnvFrom)
	}
	for _, c := range p.Spec.Containers {
		one(c.Env, c.EnvFrom)
	}
	for _, c := range p.Spec.EphemeralContainers {
		one(c.Env, c.EnvFrom)
	}
}

func visitVolume(v *corev1.Volume, visit func(resource, name string)) {
	local := func(r *corev1.LocalObjectReference) {
		if r != nil {
			visit("secrets", r.Name)
		}
	}
	switch {
	case v.Secret != nil:
		visit("secrets", v.Secret.SecretName)
	case v.ConfigMap != nil:
		visit("configmaps", v.ConfigMap.Name)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				visit("secrets", s.Secret.Name)
			}
			if s.ConfigMap != nil {
				visit("configmaps", s.ConfigMap.Name)
			}
		}
	case v.CSI != nil:
		local(v.CSI.NodePublishSecretRef)
	case v.FlexVolume != nil:
		local(v.FlexVolume.SecretRef)
	case v.CephFS != nil:
		local(v.CephFS.SecretRef)
	case v.RBD != nil:
		local(v.RBD.SecretRef)
	case v.ISCSI != nil:
		local(v.ISCSI.SecretRef)
	case v.AzureFile != nil:
		visit("secrets", v.AzureFile.SecretName)
	case v.Cinder != nil:
		local(v.Cinder.SecretRef)
	case v.ScaleIO != nil:
		local(v.ScaleIO.SecretRef)
	case v.StorageOS != nil:
		local(v.StorageOS.SecretRef)
	}
}

// volumeSecret reports whether a persistent volume that the pod uses names the secret.
func (a *Node) volumeSecret(ctx context.Context, p *corev1.Pod, secret store.Key, f store.Freshness) bool {
	if isMirror(p) {
		return false
	}
	for i := range p.Spec.Volumes {
		claim := claimOf(p, &p.Spec.Volumes[i])
		if claim == "" {
			continue
		}
		o, err := a.get(ctx, "", "persistentvolumeclaims", store.Key{Namespace: p.Namespace, Name: claim}, f)
		pvc, ok := o.(*corev1.PersistentVolumeClaim)
		if err != nil || !ok || pvc.Spec.VolumeName == "" {
			continue
		}
		o, err = a.get(ctx, "", "persistentvolumes", store.Key{Name: pvc.Spec.VolumeName}, f)
		if pv, ok := o.(*corev1.PersistentVolume); err == nil && ok && boundTo(pv, pvc) && hasSecret(pv, secret) {
			return true
		}
	}
	return false
}

func boundTo(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	r := pv.Spec.ClaimRef
	return r != nil && r.Namespace == pvc.Namespace && r.Name == pvc.Name
}

func hasSecret(pv *corev1.PersistentVolume, secret store.Key) bool {
	var refs []*corev1.SecretReference
	switch s := pv.Spec.PersistentVolumeSource; {
	case s.CSI != nil:
		refs = append(refs, s.CSI.NodePublishSecretRef, s.CSI.NodeStageSecretRef, s.CSI.NodeExpandSecretRef)
	case s.CephFS != nil:
		refs = append(refs, s.CephFS.SecretRef)
	case s.RBD != nil:
		refs = append(refs, s.RBD.SecretRef)
	case s.ISCSI != nil:
		refs = append(refs, s.ISCSI.SecretRef)
	case s.FlexVolume != nil:
		refs = append(refs, s.FlexVolume.SecretRef)
	}
	for _, r := range refs {
		if r == nil || r.Name != secret.Name {
			continue
		}
		ns := r.Namespace
		if ns == "" && pv.Spec.ClaimRef != nil {
			ns = pv.Spec.ClaimRef.Namespace
		}
		if ns == secret.Namespace {
			return true
		}
	}
	return false
}

// Refers says what kind of API object the pod uses besides its service account,
// or "" for none. Mirror pods may use none.
func Refers(p *corev1.Pod) string {
	var what string
	visit := func(resource, name string) {
		if what == "" {
			what = resource
		}
	}
	for _, s := range p.Spec.ImagePullSecrets {
		visit("secrets", s.Name)
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		visitVolume(v, visit)
		if claimOf(p, v) != "" {
			visit("persistentvolumeclaims", "")
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil {
					visit("serviceaccount tokens", "")
				}
				if s.ClusterTrustBundle != nil {
					visit("clustertrustbundles", "")
				}
			}
		}
	}
	visitContainers(p, visit)
	if len(p.Spec.ResourceClaims) > 0 {
		visit("resourceclaims", "")
	}
	return what
}
