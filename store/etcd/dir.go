package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hyperkube/internal/regular"
)

// identity is the file that says to which cluster a data directory belongs.
const identity = "cluster"

// prepareDir makes the directory and refuses one that is in use or belongs
// elsewhere, before etcd touches it.
// sole: the member is its cluster's only one.
func prepareDir(dir, cluster string, sole bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := checkLock(dir, filepath.Join(dir, "member", "snap", "db")); err != nil {
		return err
	}
	got, err := claimant(dir)
	if err != nil {
		return err
	}
	if got != "" && cluster != "" && got != cluster {
		return fmt.Errorf("data directory %s belongs to cluster %.64q, as its file %q says, not to %s: choose another directory, or restore what was exchanged from a backup", dir, got, identity, cluster)
	}
	return checkData(dir, sole)
}

// claimant is the cluster that dir belongs to, "" when none has claimed it.
func claimant(dir string) (string, error) {
	owner, err := regular.ReadFile(filepath.Join(dir, identity))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("data directory: %w", err)
	}
	return strings.TrimSpace(string(owner)), nil
}

// claimDir writes the identity once the directory is known to work, also over an empty file:
// that guards nothing.
func claimDir(dir, cluster string) error {
	path := filepath.Join(dir, identity)
	if owner, err := regular.ReadFile(path); cluster == "" || err == nil && strings.TrimSpace(string(owner)) != "" {
		return nil
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(cluster + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// checkLock tries etcd's own lock on the database, because etcd itself would
// wait for it forever.
func checkLock(dir, db string) error {
	f, err := regular.OpenFile(db, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s is in use by another process: stop it or choose another directory", dir)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
