// Package serviceaccount gives every pod its service account: the default one
// when none is named, its image pull secrets, and the volume from which the
// containers read the token (a projected volume of token, CA and namespace).
package serviceaccount

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/store"
)

// What pods see.
const (
	mountPath    = "/var/run/secrets/kubernetes.io/serviceaccount"
	volumePrefix = "kube-api-access-"
	rootCAConfig = "kube-root-ca.crt"
	tokenSeconds = 3607 // an hour, marked: see package tokens
	defaultName  = "default"
)

// patience with the controller that makes the default account of a new namespace.
const patience = 2 * time.Second

// Plugin is ServiceAccount.
type Plugin struct{ r store.Reader }

var (
	_ admission.Mutator   = Plugin{}
	_ admission.Validator = Plugin{}
)

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "ServiceAccount" }

// Handles new pods, and containers that are added to pods.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Info.Group != "" || a.Info.Resource != "pods" {
		return false
	}
	return a.Operation == admission.Create && a.Subresource == "" || a.Operation == admission.Update && a.Subresource == "ephemeralcontainers"
}

func isMirror(p *corev1.Pod) bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// Admit completes the pod.
func (s Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || isMirror(pod) || a.Operation != admission.Create {
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultName
	}
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	sa, err := s.account(ctx, a, pod.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	if automount(sa, pod) {
		mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, sa.ImagePullSecrets...)
	}
	return nil
}

// Validate holds a pod to what its service account lists, if the account asks for
// that, and keeps mirror pods away from API objects: a kubelet must not reach
// secrets by inventing pods.
func (s Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	if isMirror(pod) {
		return mirror(a, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		if a.Operation == admission.Update {
			return nil // made without this plugin: there is nobody to ask
		}
		return admission.Forbid(a, "no service account specified for pod %s/%s", pod.Namespace, pod.Name)
	}
	sa, err := s.account(ctx, a, pod.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	if !enforces(sa) {
		return nil
	}
	if bad := notMountable(sa, pod, a.Operation == admission.Update); bad != "" {
		return admission.Forbid(a, "%s", bad)
	}
	return nil
}

func mirror(a *admission.Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return admission.Forbid(a, "a mirror pod may not reference service accounts")
	}
	for range authz.Secrets(pod) {
		return admission.Forbid(a, "a mirror pod may not reference secrets")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, src := range v.Projected.Sources {
			if src.ServiceAccountToken != nil {
				return admission.Forbid(a, "a mirror pod may not use ServiceAccountToken volume projections")
			}
		}
	}
	return nil
}

func (s Plugin) account(ctx context.Context, a *admission.Attributes, name string) (*corev1.ServiceAccount, error) {
	key := store.Key{Namespace: a.Namespace(), Name: name}
	sa, found, err := admission.Find[*corev1.ServiceAccount](ctx, s.r, "", "serviceaccounts", key)
	if err == nil && !found && name == defaultName {
		sa, found, err = s.await(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, admission.Forbid(a, "error looking up service account %s/%s: serviceaccount %q not found", key.Namespace, name, name)
	}
	return sa, nil
}

// await gives the account of a namespace that was made a moment ago time to appear.
func (s Plugin) await(ctx context.Context, key store.Key) (*corev1.ServiceAccount, bool, error) {
	c, ok := s.r.Collection("", "serviceaccounts")
	if !ok {
		return nil, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := c.Watch(ctx, store.WatchOptions{Filter: store.Filter{Namespace: key.Namespace, Name: key.Name}, Initial: true})
	if err != nil {
		return nil, false, fmt.Errorf("waiting for service account %s: %w", key.Name, err)
	}
	defer w.Stop()
	for {
		events, err := w.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("waiting for service account %s: %w", key.Name, err)
		}
		for _, e := range events {
			if e.Entry == nil {
				continue
			}
			if sa, ok := e.Entry.Object.(*corev1.ServiceAccount); ok && sa.DeletionTimestamp == nil {
				return sa, true, nil
			}
		}
	}
}

func automount(sa *corev1.ServiceAccount, pod *corev1.Pod) bool {
	switch {
	case pod.Spec.AutomountServiceAccountToken != nil:
		return *pod.Spec.AutomountServiceAccountToken
	case sa.AutomountServiceAccountToken != nil:
		return *sa.AutomountServiceAccountToken
	}
	return true
}

// mountToken adds the volume and its mounts to all containers without an own
// mount at that path. A volume that an earlier admission made is used again.
func mountToken(pod *corev1.Pod) {
	name, have := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, volumePrefix) {
			name, have = v.Name, true
			break
		}
	}
	if !have {
		name = volumePrefix + rand.String(5)
	}
	mount := corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: mountPath}
	used := false
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if !mounts(&list[i]) {
				list[i].VolumeMounts = append(list[i].VolumeMounts, mount)
				used = true
			}
		}
	}
	if used && !have {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: tokenSource()}})
	}
}

func mounts(c *corev1.Container) bool {
	for _, m := range c.VolumeMounts {
		if m.MountPath == mountPath {
			return true
		}
	}
	return false
}

func tokenSource() *corev1.ProjectedVolumeSource {
	seconds, mode := int64(tokenSeconds), int32(0o644)
	return &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &seconds, Path: corev1.ServiceAccountTokenKey}},
		{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: rootCAConfig},
			Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
		}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
			Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
		}}}},
	}}
}
