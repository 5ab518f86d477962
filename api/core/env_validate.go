package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (pc *podContext) env(c *corev1.Container, path *field.Path) (errs field.ErrorList) {
	if len(c.Env) > 0 {
		at := path.Child("env")
		for i := range c.Env {
			e, p := &c.Env[i], at.Index(i)
			if e.Name == "" {
				errs = append(errs, field.Required(p.Child("name"), ""))
			} else {
				errs = checkName(errs, e.Name, p.Child("name"), isEnvName, validation.IsRelaxedEnvVarName)
			}
			if e.ValueFrom != nil {
				errs = append(errs, pc.envSource(e, p.Child("valueFrom"))...)
			}
		}
	}
	for i := range c.EnvFrom {
		errs = append(errs, validateEnvFrom(&c.EnvFrom[i], path.Child("envFrom").Index(i))...)
	}
	return errs
}

func (pc *podContext) envSource(e *corev1.EnvVar, path *field.Path) (errs field.ErrorList) {
	f, n := e.ValueFrom, 0
	if f.FieldRef != nil {
		n++
		errs = append(errs, validateFieldRef(f.FieldRef, envFields[:], path.Child("fieldRef"))...)
	}
	if f.ResourceFieldRef != nil {
		n++
		errs = append(errs, validateResourceFieldRef(f.ResourceFieldRef, false, path.Child("resourceFieldRef"))...)
	}
	if f.ConfigMapKeyRef != nil {
		n++
		errs = append(errs, requireKey(f.ConfigMapKeyRef.Key, path.Child("configMapKeyRef", "key"))...)
	}
	if f.SecretKeyRef != nil {
		n++
		errs = append(errs, requireKey(f.SecretKeyRef.Key, path.Child("secretKeyRef", "key"))...)
	}
	if f.FileKeyRef != nil {
		n++
		errs = append(errs, pc.fileKeyRef(f.FileKeyRef, path.Child("fileKeyRef"))...)
	}
	switch {
	case n == 0:
		errs = append(errs, field.Invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case e.Value != "":
		errs = append(errs, field.Invalid(path, "", "may not be specified when `value` is not empty"))
	case n > 1:
		errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
	}
	return errs
}

func (pc *podContext) fileKeyRef(r *corev1.FileKeySelector, path *field.Path) (errs field.ErrorList) {
	errs = append(errs, requireKey(r.Key, path.Child("key"))...)
	if r.VolumeName == "" {
		errs = append(errs, field.Required(path.Child("volumeName"), ""))
	} else if v, ok := pc.volumes[r.VolumeName]; !ok {
		errs = append(errs, field.NotFound(path.Child("volumeName"), r.VolumeName))
	} else if v.EmptyDir == nil {
		errs = append(errs, field.Invalid(path.Child("volumeName"), r.VolumeName, "must be an emptyDir volume"))
	}
	if r.Path == "" {
		return append(errs, field.Required(path.Child("path"), ""))
	}
	return append(errs, validateInnerPath(r.Path, path.Child("path"))...)
}

func validateEnvFrom(e *corev1.EnvFromSource, path *field.Path) (errs field.ErrorList) {
	if e.Prefix != "" {
		errs = checkName(errs, e.Prefix, path.Child("prefix"), isEnvName, validation.IsRelaxedEnvVarName)
	}
	if e.ConfigMapRef != nil && e.ConfigMapRef.Name == "" {
		errs = append(errs, field.Required(path.Child("configMapRef", "name"), ""))
	}
	if e.SecretRef != nil && e.SecretRef.Name == "" {
		errs = append(errs, field.Required(path.Child("secretRef", "name"), ""))
	}
	switch {
	case e.ConfigMapRef == nil && e.SecretRef == nil:
		errs = append(errs, field.Invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
	case e.ConfigMapRef != nil && e.SecretRef != nil:
		errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
	}
	return errs
}

func requireKey(key string, path *field.Path) field.ErrorList {
	if key == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return checkKey(nil, key, path)
}

// What the downward API offers to environments and to volumes.
var (
	envFields = [...]string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}
	volumeFields = [...]string{"metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"}
)

func validateFieldRef(r *corev1.ObjectFieldSelector, offered []string, path *field.Path) (errs field.ErrorList) {
	if r.APIVersion == "" {
		return append(errs, field.Required(path.Child("apiVersion"), ""))
	}
	at := path.Child("fieldPath")
	if r.FieldPath == "" {
		return append(errs, field.Required(at, ""))
	}
	if r.APIVersion != "v1" {
		return append(errs, field.Invalid(at, r.FieldPath, fmt.Sprintf("error converting fieldPath: unsupported pod version: %s", r.APIVersion)))
	}
	base, key, subscripted := splitSubscript(r.FieldPath)
	if !subscripted {
		return oneOf(errs, r.FieldPath, at, offered...)
	}
	switch base {
	case "metadata.labels":
		return checkQualified(errs, key, at)
	case "metadata.annotations":
		return checkQualified(errs, strings.ToLower(key), at)
	}
	return append(errs, field.Invalid(at, r.FieldPath, fmt.Sprintf("error converting fieldPath: field label does not support subscript: %s", r.FieldPath)))
}

// splitSubscript takes metadata.labels['key'] apart.
func splitSubscript(path string) (base, key string, ok bool) {
	rest, closed := strings.CutSuffix(path, "']")
	base, key, opened := strings.Cut(rest, "['")
	if !closed || !opened || base == "" {
		return path, "", false
	}
	return base, key, true
}

func validateResourceFieldRef(r *corev1.ResourceFieldSelector, volume bool, path *field.Path) (errs field.ErrorList) {
	if volume && r.ContainerName == "" {
		return append(errs, field.Required(path.Child("containerName"), ""))
	}
	if r.Resource == "" {
		return append(errs, field.Required(path.Child("resource"), ""))
	}
	side, name, _ := strings.Cut(r.Resource, ".")
	res := corev1.ResourceName(name)
	known := res == corev1.ResourceCPU || res == corev1.ResourceMemory || res == corev1.ResourceEphemeralStorage || IsHugePage(res)
	if side != "limits" && side != "requests" || !known {
		return append(errs, field.NotSupported(path.Child("resource"), r.Resource, []string{"limits.cpu", "limits.ephemeral-storage",
			"limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"}))
	}
	return append(errs, validateDivisor(name, r.Divisor, path.Child("divisor"))...)
}

const sizeDivisors = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"

func validateDivisor(name string, d resource.Quantity, path *field.Path) field.ErrorList {
	if d.IsZero() {
		return nil
	}
	text := d.String()
	if name == "cpu" {
		if text == "1m" || text == "1" {
			return nil
		}
		return field.ErrorList{field.Invalid(path, text, "only divisor's values 1m and 1 are supported with the cpu resource")}
	}
	for _, ok := range strings.Split(sizeDivisors, ", ") {
		if text == ok {
			return nil
		}
	}
	return field.ErrorList{field.Invalid(path, text, "only divisor's values "+sizeDivisors+" are supported with the "+name+" resource")}
}
