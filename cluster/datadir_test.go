package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneNameForADataDirectory: however it is reached, its things on the host are the same.
func TestOneNameForADataDirectory(t *testing.T) {
	top := t.TempDir()
	dir := func(names ...string) string { return filepath.Join(append([]string{top}, names...)...) }
	must(t, os.MkdirAll(dir("disk", "real"), 0o700))
	must(t, os.Symlink(dir("disk", "real"), dir("link")))
	must(t, os.Symlink("link", dir("link2")))
	must(t, os.Symlink("disk", dir("mnt")))
	must(t, os.Symlink("disk/new", dir("dangling")))
	must(t, os.Symlink("loop", dir("loop")))
	for from, want := range map[string]string{
		"disk/real": "disk/real", "disk/real/": "disk/real", "link": "disk/real", "link2": "disk/real", "mnt/real": "disk/real",
		"mnt/none/yet": "disk/none/yet", "dangling": "disk/new", "disk/./real/x/..": "disk/real",
	} {
		got, err := ResolveDataDir(top + "/" + from)
		if err != nil || got != dir(want) {
			t.Errorf("%s: %s, %v; want %s", from, got, err, dir(want))
		}
		if err == nil && (PathsOf(got).Run != PathsOf(dir(want)).Run || PathsOf(got).CgroupRoot() != PathsOf(dir(want)).CgroupRoot()) {
			t.Errorf("%s: another id on the host", from)
		}
	}
	for from, words := range map[string]string{dir("loop"): "too many", "here": "absolute", "/": "root directory", dir("disk", "a,b"): "mount options"} {
		if got, err := ResolveDataDir(from); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %s, %v; want %q", from, got, err, words)
		}
	}
	if found, _ := os.ReadDir(dir("disk")); len(found) != 1 {
		t.Errorf("looking made %v", found)
	}
}

// TestNodeName: what a host may be called, as the standard kubelet takes it or as the rule.
func TestNodeName(t *testing.T) {
	for from, want := range map[string]string{
		"n1": "n1", "Node-1": "node-1", " HOST.Example.COM\n": "host.example.com", strings.Repeat("a", 63): strings.Repeat("a", 63),
		"my_node": "", "my node": "", "": "", "(none)": "", "-a": "", "a-": "", "a..b": "", "ä": "", strings.Repeat("a", 64): "",
	} {
		got, err := NodeName(from, "--node-name")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", from, got, err, want)
		}
		if err != nil && (!strings.Contains(err.Error(), "--node-name") || !strings.Contains(err.Error(), "at most 63")) {
			t.Errorf("%q: the error names no rule: %v", from, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
