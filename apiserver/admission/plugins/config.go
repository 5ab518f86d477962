package plugins

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/admission/podsecurity"
)

// Config is what plugins take from --admission-control-config-file.
type Config struct {
	PodSecurity *podsecurity.Config
}

type configuration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Plugins    []struct {
		Name          string         `json:"name"`
		Path          string         `json:"path"`
		Configuration map[string]any `json:"configuration"`
	} `json:"plugins"`
}

// LoadConfig reads an AdmissionConfiguration, in which each plugin's own document
// is written out or named by its file, relative to this one.
func LoadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var in configuration
	if err := yaml.UnmarshalStrict(data, &in); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	versions := []string{"apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1", "apiserver.k8s.io/v1alpha1"}
	if in.Kind != "AdmissionConfiguration" || !slices.Contains(versions, in.APIVersion) {
		return nil, fmt.Errorf("%s: want apiVersion %s, kind AdmissionConfiguration", path, versions[0])
	}
	out := &Config{}
	for i, p := range in.Plugins {
		if p.Name != (podsecurity.Plugin{}).Name() || out.PodSecurity != nil {
			return nil, fmt.Errorf("%s: plugins[%d]: only one configuration of PodSecurity is supported, not %q", path, i, p.Name)
		}
		text, err := document(filepath.Dir(path), p.Path, p.Configuration)
		if err != nil {
			return nil, fmt.Errorf("%s: plugins[%d]: %w", path, i, err)
		}
		c, err := podsecurity.ParseConfig(text)
		if err != nil {
			return nil, fmt.Errorf("%s: plugins[%d]: %w", path, i, err)
		}
		out.PodSecurity = &c
	}
	return out, nil
}

func document(dir, path string, written map[string]any) ([]byte, error) {
	switch {
	case path != "" && written != nil:
		return nil, fmt.Errorf("path and configuration exclude each other")
	case written != nil:
		return yaml.Marshal(written)
	case path == "":
		return nil, fmt.Errorf("neither path nor configuration is set")
	case !filepath.IsAbs(path):
		path = filepath.Join(dir, path)
	}
	return os.ReadFile(path)
}
