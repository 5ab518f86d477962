package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hyperkube/internal/tree"
)

func wasCutOff(dir string) string {
	return fmt.Sprintf("was cut off, and a part of the cluster is gone: end it with `hyperkube reset --data-dir %s`, then start anew", dir)
}

// noteReset says that what is missing from now on is not lost. A disk that is full takes no
// note, and is emptied nevertheless.
func (m *Marker) noteReset(dir string) error {
	if m.Reset {
		return nil
	}
	m.Reset = true
	if err := m.write(dir); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return nil
}

// removeMarked removes what the marker names and, at last, the marker and the folder. What
// others put there stays, and so does then the folder; it is returned.
func removeMarked(dir string) (kept []string, err error) {
	m, err := readMarker(dir)
	if err != nil {
		if !legacy(dir) {
			return nil, nil // not a cluster's
		}
		m = &Marker{Entries: entries()}
	}
	if err == nil {
		if err := m.noteReset(dir); err != nil {
			return nil, err
		}
	}
	// Last what tells that the folder is a cluster's, so that a second try finds it.
	last := []string{"lock", "cluster.json", markerName}
	for _, name := range m.Entries {
		if name != filepath.Base(name) || name == "." || name == ".." || slices.Contains(last, name) {
			continue
		}
		if err := tree.Remove(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if err := removeUnfinished(dir, append(m.Entries, last...)); err != nil {
		return nil, err
	}
	leave, err := guardDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, name := range last {
		if err := ignoreGone(os.Remove(filepath.Join(dir, name))); err != nil {
			return nil, err
		}
	}
	return leftIn(dir)
}

// removeUnfinished removes what a killed process had not finished writing: files that would
// have become entries.
func removeUnfinished(dir string, names []string) error {
	found, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range found {
		if !slices.ContainsFunc(names, func(n string) bool { return n != "" && strings.HasPrefix(e.Name(), "."+n+".") }) || !e.Type().IsRegular() {
			continue
		}
		if err := ignoreGone(os.Remove(filepath.Join(dir, e.Name()))); err != nil {
			return err
		}
	}
	return nil
}

// leftIn removes an empty folder and names what keeps another one.
func leftIn(dir string) ([]string, error) {
	err := os.Remove(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EBUSY) { // busy: a file system of its own
		return nil, nil
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var kept []string
	for _, e := range found {
		if e.Name() != "lost+found" {
			kept = append(kept, e.Name())
		}
	}
	return kept, nil
}
