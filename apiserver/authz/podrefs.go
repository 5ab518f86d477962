package authz

import (
	"context"
	"iter"

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
	visitPod(p, func(_ Place, res, n string) { found = found || res == resource && n == name })
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

// Place is where a pod names an object.
type Place struct {
	Pull      bool // in imagePullSecrets, at Index
	Index     int
	Container string // what kind of container; "" for a volume
	Name      string // of the container
	Env       string // the variable; "" for envFrom
}

// Kinds of containers in a Place.
const (
	InitContainer      = "init container"
	PlainContainer     = "container"
	EphemeralContainer = "ephemeral container"
)

// String is the place up to the object's name, in the words of refusals.
func (p Place) String() string {
	switch {
	case p.Container == "":
		return "volume with secret.secretName"
	case p.Env == "":
		return p.Container + " " + p.Name + " with envFrom referencing secret.secretName"
	}
	return p.Container + " " + p.Name + " with envVar " + p.Env + " referencing secret.secretName"
}

// Secrets are all secrets of its own namespace that a pod names.
func Secrets(p *corev1.Pod) iter.Seq2[Place, string] {
	return func(yield func(Place, string) bool) {
		more := true
		visitPod(p, func(at Place, resource, name string) {
			if more && resource == "secrets" {
				more = yield(at, name)
			}
		})
	}
}

// visitPod visits all secrets and configmaps.
func visitPod(p *corev1.Pod, visit func(at Place, resource, name string)) {
	for i, s := range p.Spec.ImagePullSecrets {
		visit(Place{Pull: true, Index: i}, "secrets", s.Name)
	}
	inVolume := func(resource, name string) { visit(Place{}, resource, name) }
	for i := range p.Spec.Volumes {
		visitVolume(&p.Spec.Volumes[i], inVolume)
	}
	for _, c := range p.Spec.InitContainers {
		visitEnv(Place{Container: InitContainer, Name: c.Name}, c.Env, c.EnvFrom, visit)
	}
	for _, c := range p.Spec.Containers {
		visitEnv(Place{Container: PlainContainer, Name: c.Name}, c.Env, c.EnvFrom, visit)
	}
	for _, c := range p.Spec.EphemeralContainers {
		visitEnv(Place{Container: EphemeralContainer, Name: c.Name}, c.Env, c.EnvFrom, visit)
	}
}

func visitEnv(at Place, env []corev1.EnvVar, from []corev1.EnvFromSource, visit func(at Place, resource, name string)) {
	for _, f := range from {
		if f.SecretRef != nil {
			visit(at, "secrets", f.SecretRef.Name)
		}
		if f.ConfigMapRef != nil {
			visit(at, "configmaps", f.ConfigMapRef.Name)
		}
	}
	for _, e := range env {
		if e.ValueFrom == nil {
			continue
		}
		at.Env = e.Name
		if r := e.ValueFrom.SecretKeyRef; r != nil {
			visit(at, "secrets", r.Name)
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
			visit(at, "configmaps", r.Name)
		}
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
	visitPod(p, func(_ Place, resource, name string) { visit(resource, name) })
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
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
				if s.PodCertificate != nil {
					visit("pod certificates", "")
				}
			}
		}
	}
	if len(p.Spec.ResourceClaims) > 0 {
		visit("resourceclaims", "")
	}
	return what
}
