package core

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

const maxSecretSize = corev1.MaxSecretSize // 1 MiB, for config maps too

// ValidateConfigMap judges keys, their uniqueness and the size.
func ValidateConfigMap(c *corev1.ConfigMap) (errs field.ErrorList) {
	size := 0
	for k, v := range c.Data {
		errs = checkKey(errs, k, field.NewPath("data").Key(k))
		if _, twice := c.BinaryData[k]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(k), k, "duplicate of key present in binaryData"))
		}
		size += len(v)
	}
	for k, v := range c.BinaryData {
		errs = checkKey(errs, k, field.NewPath("binaryData").Key(k))
		size += len(v)
	}
	if size > maxSecretSize {
		errs = append(errs, field.TooLong(field.NewPath(""), c, maxSecretSize))
	}
	return errs
}

const whenImmutable = "field is immutable when `immutable` is set"

// ValidateConfigMapUpdate also guards immutable ones.
func ValidateConfigMapUpdate(c, old *corev1.ConfigMap) (errs field.ErrorList) {
	if isTrue(old.Immutable) {
		errs = stillImmutable(errs, c.Immutable)
		if !maps.Equal(c.Data, old.Data) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
		}
		if !maps.EqualFunc(c.BinaryData, old.BinaryData, bytes.Equal) {
			errs = append(errs, field.Forbidden(field.NewPath("binaryData"), whenImmutable))
		}
	}
	return append(errs, ValidateConfigMap(c)...)
}

func isTrue(b *bool) bool { return b != nil && *b }

func stillImmutable(errs field.ErrorList, now *bool) field.ErrorList {
	if !isTrue(now) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), whenImmutable))
	}
	return errs
}

// ConfigMapColumns are printed by kubectl get configmaps.
func ConfigMapColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Data", "Number of keys."), table.AgeColumn()}
}

// ConfigMapRow fills ConfigMapColumns.
func ConfigMapRow(c *corev1.ConfigMap, now time.Time) []any {
	return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), table.Age(c.CreationTimestamp, now)}
}

// DefaultSecret completes a secret and folds stringData, which is only ever
// written, into data.
func DefaultSecret(s *corev1.Secret) {
	setDefault(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) == 0 {
		return
	}
	if s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}

// ValidateSecret judges keys, size and what the type demands.
func ValidateSecret(s *corev1.Secret) (errs field.ErrorList) {
	data, size := field.NewPath("data"), 0
	for k, v := range s.Data {
		errs = checkKey(errs, k, data.Key(k))
		size += len(v)
	}
	if size > maxSecretSize {
		errs = append(errs, field.TooLong(data, "", maxSecretSize))
	}
	need := func(keys ...string) {
		for _, k := range keys {
			if _, ok := s.Data[k]; !ok {
				errs = append(errs, field.Required(data.Key(k), ""))
			}
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		errs = append(errs, validateJSONKey(s, corev1.DockerConfigKey)...)
	case corev1.SecretTypeDockerConfigJson:
		errs = append(errs, validateJSONKey(s, corev1.DockerConfigJsonKey)...)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, pass := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !pass {
			need(corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return errs
}

func validateJSONKey(s *corev1.Secret, key string) field.ErrorList {
	at := field.NewPath("data").Key(key)
	raw, ok := s.Data[key]
	if !ok {
		return field.ErrorList{field.Required(at, "")}
	}
	var any map[string]json.RawMessage
	if err := json.Unmarshal(raw, &any); err != nil {
		return field.ErrorList{field.Invalid(at, "<secret contents redacted>", err.Error())}
	}
	return nil
}

// ValidateSecretUpdate: the type stays, and all of an immutable one.
func ValidateSecretUpdate(s, old *corev1.Secret) (errs field.ErrorList) {
	errs = immutable(errs, s.Type == old.Type, s.Type, field.NewPath("type"))
	if isTrue(old.Immutable) {
		errs = stillImmutable(errs, s.Immutable)
		if !maps.EqualFunc(s.Data, old.Data, bytes.Equal) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
		}
	}
	return append(errs, ValidateSecret(s)...)
}

// SecretColumns are printed by kubectl get secrets.
func SecretColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Type", "What the secret is for."),
		table.Text("Data", "Number of keys."), table.AgeColumn()}
}

// SecretRow fills SecretColumns.
func SecretRow(s *corev1.Secret, now time.Time) []any {
	return []any{s.Name, string(s.Type), int64(len(s.Data)), table.Age(s.CreationTimestamp, now)}
}

// ServiceAccountColumns are printed by kubectl get serviceaccounts.
func ServiceAccountColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Secrets", "Number of secrets that pods of this account may mount."), table.AgeColumn()}
}

// ServiceAccountRow fills ServiceAccountColumns.
func ServiceAccountRow(s *corev1.ServiceAccount, now time.Time) []any {
	return []any{s.Name, int64(len(s.Secrets)), table.Age(s.CreationTimestamp, now)}
}
