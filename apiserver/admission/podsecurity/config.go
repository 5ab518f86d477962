package podsecurity

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Config of the plugin; start from Defaults.
type Config struct {
	Defaults Policy
	// Usernames, RuntimeClasses and Namespaces are exempt from everything.
	Usernames, RuntimeClasses, Namespaces []string
}

// Defaults are those of a server without configuration: privileged where no label
// says otherwise, the latest version, nothing exempt.
func Defaults() Config {
	free := Bar{Privileged, Latest}
	return Config{Defaults: Policy{free, free, free}}
}

// exempt says by what, "" for not.
func (c *Config) exempt(user, namespace string, spec *corev1.PodSpec) string {
	switch {
	case namespace != "" && slices.Contains(c.Namespaces, namespace):
		return "namespace"
	case user != "" && slices.Contains(c.Usernames, user):
		return "user"
	case spec != nil && spec.RuntimeClassName != nil && slices.Contains(c.RuntimeClasses, *spec.RuntimeClassName):
		return "runtimeClass"
	}
	return ""
}

const configGroup = "pod-security.admission.config.k8s.io/"

// document is a PodSecurityConfiguration as it is published.
type document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Defaults   struct {
		Enforce        string `json:"enforce"`
		EnforceVersion string `json:"enforce-version"`
		Audit          string `json:"audit"`
		AuditVersion   string `json:"audit-version"`
		Warn           string `json:"warn"`
		WarnVersion    string `json:"warn-version"`
	} `json:"defaults"`
	Exemptions struct {
		Usernames      []string `json:"usernames"`
		RuntimeClasses []string `json:"runtimeClasses"`
		Namespaces     []string `json:"namespaces"`
	} `json:"exemptions"`
}

// ParseConfig reads a PodSecurityConfiguration.
func ParseConfig(data []byte) (Config, error) {
	var d document
	if err := yaml.UnmarshalStrict(data, &d); err != nil {
		return Config{}, fmt.Errorf("PodSecurityConfiguration: %w", err)
	}
	if d.Kind != "PodSecurityConfiguration" || !slices.Contains([]string{"v1", "v1beta1", "v1alpha1"}, trim(d.APIVersion)) {
		return Config{}, fmt.Errorf("want %sv1 PodSecurityConfiguration, not %s %s", configGroup, d.APIVersion, d.Kind)
	}
	c := Defaults()
	x := &d.Defaults
	err := errors.Join(
		bar("enforce", x.Enforce, x.EnforceVersion, &c.Defaults.Enforce),
		bar("audit", x.Audit, x.AuditVersion, &c.Defaults.Audit),
		bar("warn", x.Warn, x.WarnVersion, &c.Defaults.Warn),
		names("usernames", d.Exemptions.Usernames, func(string) []string { return nil }),
		names("runtimeClasses", d.Exemptions.RuntimeClasses, validation.IsDNS1123Subdomain),
		names("namespaces", d.Exemptions.Namespaces, validation.IsDNS1123Label),
	)
	c.Usernames, c.RuntimeClasses, c.Namespaces = d.Exemptions.Usernames, d.Exemptions.RuntimeClasses, d.Exemptions.Namespaces
	return c, err
}

func trim(apiVersion string) string {
	if len(apiVersion) > len(configGroup) && apiVersion[:len(configGroup)] == configGroup {
		return apiVersion[len(configGroup):]
	}
	return ""
}

func bar(name, level, version string, to *Bar) (err error) {
	if level != "" {
		if to.Level, err = parseLevel(level); err != nil {
			return fmt.Errorf("defaults.%s: %q %w", name, level, err)
		}
	}
	if version != "" {
		if to.Version, err = parseVersion(version); err != nil {
			return fmt.Errorf("defaults.%s-version: %q %w", name, version, err)
		}
	}
	return nil
}

func names(what string, list []string, check func(string) []string) error {
	for i, n := range list {
		switch bad := check(n); {
		case n == "":
			return fmt.Errorf("exemptions.%s[%d]: must not be empty", what, i)
		case len(bad) > 0:
			return fmt.Errorf("exemptions.%s[%d]: %q: %s", what, i, n, bad[0])
		case slices.Contains(list[:i], n):
			return fmt.Errorf("exemptions.%s[%d]: %q is there twice", what, i, n)
		}
	}
	return nil
}
