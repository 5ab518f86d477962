package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"hyperkube/internal/pki"
	"hyperkube/internal/regular"
	"hyperkube/store"
	"hyperkube/store/seal"
)

// holdings is what others rely on of a data directory from before this start: keys that
// were handed out, data that was written. None of it is made anew unasked: an empty or
// new one in its place would bury what was there.
type holdings struct {
	keys bool // CAs, the service-account key and the encryption key were made
	data bool // the embedded etcd has held objects
}

// holdingsOf looks at a data directory; have is its identity, nil when there was none.
func holdingsOf(p Paths, have *Identity, embedded bool) holdings {
	full := etcdHolds(p.Etcd)
	h := holdings{keys: full, data: full && embedded}
	if have == nil {
		return h
	}
	h.keys = h.keys || have.KeysMade
	h.data = h.data || embedded && have.DataMade
	if have.Layout == 0 { // of a version that took no notes: the last things it made tell
		h.keys = h.keys || present(filepath.Join(p.PKI, pki.NameAPIServer+".crt"))
		h.data = h.data || embedded && present(p.EncryptionConfig)
	}
	if have.Ephemeral {
		h.data = false // gone with the machine's memory, as was asked for
	}
	return h
}

// etcdHolds reports whether a member has written to dir.
func etcdHolds(dir string) bool {
	found, err := os.ReadDir(filepath.Join(dir, "member"))
	return err == nil && len(found) > 0
}

func present(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// checkData refuses to begin with nothing where a cluster was.
func (h holdings) checkData(p Paths, startEmpty bool) error {
	if !h.data || startEmpty || etcdHolds(p.Etcd) {
		return nil
	}
	return fmt.Errorf("%s is lost or empty, but this cluster had its objects there: put it back from a backup; "+
		"`hyperkube up --start-empty` gives all objects up and starts with an empty cluster", p.Etcd)
}

// encryption loads the key that secrets lie in etcd under, or makes it for a new cluster.
// One that was made must be checked against etcd: confirmKey.
func (h holdings) encryption(p Paths, replace bool) (keys *seal.Config, made bool, err error) {
	if err = regular.Check(p.EncryptionConfig); err == nil {
		keys, err = seal.Load(p.EncryptionConfig)
	}
	if err == nil {
		return keys, false, nil
	}
	if (h.keys || !errors.Is(err, fs.ErrNotExist)) && !replace {
		return nil, false, fmt.Errorf("%s, with the key that all secrets are encrypted under, cannot be read (%w): restore it from a backup; "+
			"`hyperkube up --new-encryption-key` gives the secrets up: those that are there are deleted", p.EncryptionConfig, err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(p.EncryptionConfig, p.EncryptionConfig+".unreadable"); err != nil {
			return nil, false, fmt.Errorf("setting the old encryption key aside: %w", err)
		}
	}
	keys, err = seal.Create(p.EncryptionConfig, "secrets")
	return keys, err == nil, err
}

// confirmKey keeps a key that was made just now from burying secrets that another one
// sealed, wherever the notes about it went. giveUp deletes those secrets.
func confirmKey(ctx context.Context, p Paths, etcd store.Options, giveUp bool, log *slog.Logger) error {
	lost, err := store.SealedKeys(ctx, etcd)
	if err != nil || len(lost) == 0 {
		return err
	}
	if giveUp {
		n, err := store.GiveUpSealed(ctx, etcd)
		if err == nil {
			log.Warn("gave up what a lost key sealed", "objects", n)
		}
		return err
	}
	refusal := &seal.LostError{Path: p.EncryptionConfig, Lost: lost}
	return errors.Join(fmt.Errorf("%w; `hyperkube up --new-encryption-key` gives the secrets up and deletes them", refusal), os.Remove(p.EncryptionConfig))
}

// adviseLost tells the way on when keys are lost.
func adviseLost(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var told []error
		for _, one := range all.Unwrap() {
			told = append(told, adviseLost(one))
		}
		return errors.Join(told...)
	}
	var lost *pki.LostError
	switch {
	case !errors.As(err, &lost):
		return err
	case lost.What == pki.SigningKey:
		return fmt.Errorf("%w: restore it and sa.pub from a backup; `hyperkube up --new-service-account-key` gives it up: "+
			"every token of a service account ends, pods get new ones within minutes", err)
	default:
		return fmt.Errorf("%w: restore its .crt and .key from a backup; `hyperkube up --new-ca` makes it anew and all certificates with it: "+
			"copies of kubeconfigs outside this folder stop working, pods trust the new one once they restart", err)
	}
}
