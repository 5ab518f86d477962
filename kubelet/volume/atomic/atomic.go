// Package atomic writes a set of files so that a reader sees either the old set or the new one, never a mixture.
//
//	dir/
//	  ..2026_11_20_21_40_00.123456789/   the payload, one directory per version
//	  ..data -> ..2026_11_20_…           swapped by one rename
//	  name   -> ..data/name              one link per first path element
//
// A version that would equal the current one is not written.
package atomic

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hyperkube/internal/bounds"
)

const (
	dataLink = "..data"
	tempLink = "..data_tmp"
)

// File is one file of a payload.
type File struct {
	Data []byte
	Mode fs.FileMode
	UID  int // owner; -1 leaves it
}

// Payload maps relative paths to files.
type Payload map[string]File

// Write makes dir show the payload. gid, if not negative, becomes the group of everything written.
// now names the version. It reports whether anything changed.
func Write(dir string, p Payload, gid int, now time.Time) (bool, error) {
	p, err := clean(p)
	if err != nil {
		return false, err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("reading current version: %w", err)
	}
	if old != "" && same(filepath.Join(dir, old), p) {
		return false, link(dir, p)
	}
	version := ".." + now.UTC().Format("2006_01_02_15_04_05.000000000")
	if err := writeAll(filepath.Join(dir, version), p, gid); err != nil {
		_ = os.RemoveAll(filepath.Join(dir, version))
		return false, err
	}
	tmp := filepath.Join(dir, tempLink)
	_ = os.Remove(tmp)
	if err := os.Symlink(version, tmp); err != nil {
		return false, fmt.Errorf("linking version: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return false, fmt.Errorf("swapping version: %w", err)
	}
	if err := link(dir, p); err != nil {
		return true, err
	}
	return true, prune(dir, version, p)
}

// clean checks every path and writes it the shortest way, so that one file has one name.
func clean(p Payload) (Payload, error) {
	out := make(Payload, len(p))
	for name, f := range p {
		if err := ValidPath(name); err != nil {
			return nil, err
		}
		out[filepath.Clean(name)] = f
	}
	return out, nil
}

// ValidPath refuses paths that name no file in the directory, leave it or collide with the writer's own names.
func ValidPath(name string) error {
	if name == "" || filepath.IsAbs(name) || len(name) > bounds.Path {
		return fmt.Errorf("invalid path %.255q: must be relative and at most %d bytes", name, bounds.Path)
	}
	if filepath.Clean(name) == "." || strings.Count(name, "/") >= bounds.PathElements {
		return fmt.Errorf("invalid path %.255q: must name a file, at most %d directories deep", name, bounds.PathElements)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || len(part) > 255 {
			return fmt.Errorf("invalid path %.255q: must not contain '..'", name)
		}
	}
	if strings.HasPrefix(filepath.Clean(name), "..") {
		return fmt.Errorf("invalid path %.255q: must not start with '..'", name)
	}
	return nil
}

// errDiffers ends a comparison.
var errDiffers = errors.New("differs")

func same(dir string, p Payload) bool {
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, ok := p[rel]
		if !ok {
			return errDiffers
		}
		have, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(have, f.Data) {
			return errDiffers
		}
		count++
		return nil
	})
	return err == nil && count == len(p)
}

func writeAll(dir string, p Payload, gid int) error {
	if err := mkdir(dir, gid); err != nil {
		return err
	}
	for name, f := range p {
		path := filepath.Join(dir, name)
		if err := mkdirs(dir, filepath.Dir(name), gid); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, f.Mode); err != nil {
			return fmt.Errorf("writing %q: %w", name, err)
		}
		if f.UID >= 0 || gid >= 0 {
			if err := os.Chown(path, f.UID, gid); err != nil {
				return fmt.Errorf("changing owner of %q: %w", name, err)
			}
		}
		if err := os.Chmod(path, f.Mode); err != nil { // after the umask and chown
			return fmt.Errorf("changing mode of %q: %w", name, err)
		}
	}
	return nil
}

// mkdirs makes the directories of sub, a clean relative path, one below the other.
func mkdirs(root, sub string, gid int) error {
	if sub == "." {
		return nil
	}
	dir := root
	for part := range strings.SplitSeq(sub, "/") {
		dir = filepath.Join(dir, part)
		if err := mkdir(dir, gid); err != nil {
			return err
		}
	}
	return nil
}

func mkdir(dir string, gid int) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("creating directory: %w", err)
	}
	if gid >= 0 {
		if err := os.Chown(dir, -1, gid); err != nil {
			return fmt.Errorf("changing group: %w", err)
		}
		return os.Chmod(dir, 0o755|fs.ModeSetgid)
	}
	return os.Chmod(dir, 0o755)
}

func first(name string) string {
	head, _, _ := strings.Cut(name, "/")
	return head
}

// link adds the visible links that are missing.
func link(dir string, p Payload) error {
	for name := range p {
		head := first(name)
		path := filepath.Join(dir, head)
		if have, err := os.Readlink(path); err == nil && have == filepath.Join(dataLink, head) {
			continue
		}
		if err := os.Symlink(filepath.Join(dataLink, head), path); err != nil && !os.IsExist(err) {
			return fmt.Errorf("linking %q: %w", head, err)
		}
	}
	return nil
}

// prune removes links and versions that are no longer used.
func prune(dir, version string, p Payload) error {
	keep := map[string]bool{dataLink: true, version: true}
	for name := range p {
		keep[first(name)] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("removing old version: %w", err)
			}
		}
	}
	return nil
}
