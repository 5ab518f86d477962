// Package hostpath gives pods files and directories of the node.
package hostpath

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume"
)

// Kind is the hostPath volume.
type Kind struct{}

// Dir implements volume.Kind.
func (Kind) Dir() string { return "host-path" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.HostPath != nil }

// SetUp implements volume.Kind: it checks the path's type and makes what may be made.
func (Kind) SetUp(_ context.Context, r volume.Request) (volume.Mounted, error) {
	path, want := r.Volume.HostPath.Path, v1.HostPathUnset
	if r.Volume.HostPath.Type != nil {
		want = *r.Volume.HostPath.Type
	}
	return volume.Mounted{Path: path}, check(path, want)
}

func check(path string, want v1.HostPathType) error {
	info, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	missing := err != nil
	switch want {
	case v1.HostPathUnset:
		return nil
	case v1.HostPathDirectoryOrCreate:
		if missing {
			return os.MkdirAll(path, 0o755)
		}
		return kind(path, "a directory", info.IsDir())
	case v1.HostPathFileOrCreate:
		if missing {
			return touch(path)
		}
		return kind(path, "a file", info.Mode().IsRegular())
	}
	if missing {
		return kind(path, names(want), false)
	}
	m := info.Mode()
	ok := map[v1.HostPathType]bool{
		v1.HostPathDirectory: info.IsDir(), v1.HostPathFile: m.IsRegular(), v1.HostPathSocket: m&fs.ModeSocket != 0,
		v1.HostPathCharDev:  m&fs.ModeCharDevice != 0,
		v1.HostPathBlockDev: m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0,
	}[want]
	return kind(path, names(want), ok)
}

func names(t v1.HostPathType) string {
	switch t {
	case v1.HostPathDirectory:
		return "a directory"
	case v1.HostPathFile:
		return "a file"
	case v1.HostPathSocket:
		return "a socket file"
	case v1.HostPathCharDev:
		return "a character device"
	case v1.HostPathBlockDev:
		return "a block device"
	}
	return "a known type (" + string(t) + ")"
}

func kind(path, want string, ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("hostPath type check failed: %s is not %s", path, want)
}

func touch(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
