package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// findable puts the folders of the programs that the configuration names into PATH. containerd
// starts a shim by its path but finds it again by name: one that cannot takes running containers
// for dead when it starts, and what is started in their place runs beside them. So nobody who
// starts this role needs to know of it.
func findable(plugins map[string]any) error {
	path := os.Getenv("PATH")
	have := filepath.SplitList(path)
	var add []string
	for _, dir := range programFolders(plugins) {
		if !slices.Contains(have, dir) {
			add = append(add, dir)
		}
	}
	if len(add) == 0 {
		return nil
	}
	if path != "" {
		add = append(add, path)
	}
	if err := os.Setenv("PATH", strings.Join(add, string(os.PathListSeparator))); err != nil {
		return fmt.Errorf("making containerd's programs findable: %w", err)
	}
	return nil
}

// programFolders are the folders of shims (runtime_path) and of what they run (BinaryName),
// sorted. Names without a folder are in PATH already, or nowhere.
func programFolders(plugins map[string]any) []string {
	found := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for key, v := range m {
			if name, ok := v.(string); ok && (key == "runtime_path" || key == "BinaryName") && filepath.IsAbs(name) {
				found[filepath.Dir(name)] = true
			}
			walk(v)
		}
	}
	walk(plugins)
	out := make([]string, 0, len(found))
	for dir := range found {
		out = append(out, dir)
	}
	slices.Sort(out)
	return out
}
