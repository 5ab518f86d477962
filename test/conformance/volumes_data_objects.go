package conformance

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func isInvalid(err error) bool { return apierrors.IsInvalid(err) }

// source is the volume of the named object.
func (d dataVolume) source(name string, items []corev1.KeyToPath, mode *int32, optional bool) corev1.VolumeSource {
	ref := corev1.LocalObjectReference{Name: name}
	switch {
	case d.projected && d.secret:
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: mode, Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: ref, Items: items, Optional: &optional}}}}}
	case d.projected:
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: mode, Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref, Items: items, Optional: &optional}}}}}
	case d.secret:
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Items: items, DefaultMode: mode, Optional: &optional}}
	}
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref, Items: items, DefaultMode: mode, Optional: &optional}}
}

// put creates the object with one key.
func (d dataVolume) put(f *fixture, ns, name, value string) {
	f.Helper()
	meta := metav1.ObjectMeta{Name: name}
	var err error
	if d.secret {
		_, err = f.kube.CoreV1().Secrets(ns).Create(f.ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"key": value}}, metav1.CreateOptions{})
	} else {
		_, err = f.kube.CoreV1().ConfigMaps(ns).Create(f.ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": value}}, metav1.CreateOptions{})
	}
	if err != nil {
		f.Fatalf("creating %s: %v", name, err)
	}
}

func (d dataVolume) change(f *fixture, name, value string) {
	f.Helper()
	field := "data"
	if d.secret {
		field = "stringData"
	}
	if err := d.patch(f, name, fmt.Sprintf(`{%q:{"key":%q}}`, field, value)); err != nil {
		f.Fatalf("changing %s: %v", name, err)
	}
}

func (d dataVolume) patch(f *fixture, name, body string) (err error) {
	if d.secret {
		_, err = f.kube.CoreV1().Secrets(f.ns).Patch(f.ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
	} else {
		_, err = f.kube.CoreV1().ConfigMaps(f.ns).Patch(f.ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
	}
	return err
}

func (d dataVolume) remove(f *fixture, name string) {
	f.Helper()
	var err error
	if d.secret {
		err = f.kube.CoreV1().Secrets(f.ns).Delete(f.ctx, name, metav1.DeleteOptions{})
	} else {
		err = f.kube.CoreV1().ConfigMaps(f.ns).Delete(f.ctx, name, metav1.DeleteOptions{})
	}
	if err != nil {
		f.Fatalf("deleting %s: %v", name, err)
	}
}

// eventuallyReads waits until a file in a container has the text.
func (f *fixture) eventuallyReads(pod, container, path, want string) {
	f.Helper()
	f.eventually(path+" in "+pod, func() error {
		out, err := f.exec(pod, container, "cat", path)
		if err != nil {
			return err
		}
		return errUnless(strings.Contains(out, want), "it has %q, want %q", out, want)
	})
}
