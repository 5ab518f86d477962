package main

import (
	"os"
	"path/filepath"
)

const defaultDataDir = "/var/lib/hyperkube"

// dataDir is HYPERKUBE_DATA_DIR or the standard place.
func dataDir() string {
	if d := os.Getenv("HYPERKUBE_DATA_DIR"); d != "" {
		return d
	}
	return defaultDataDir
}

// foundKubeconfig is the admin kubeconfig of `hyperkube up`, when there is one
// that this user may read and no ~/.kube/config takes precedence.
func foundKubeconfig() string {
	if home, err := os.UserHomeDir(); err == nil {
		if _, err := os.Stat(filepath.Join(home, ".kube", "config")); err == nil {
			return ""
		}
	}
	path := filepath.Join(dataDir(), "admin.conf")
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	f.Close()
	return path
}
