package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// containerd's root holds what can be had again: images, and what containers wrote into
// themselves. Two databases say what is there, one refers to the other, and both refer to
// files. A containerd whose databases are damaged, or of different ages, runs and fails with
// each image and container that is concerned, for ever.
//
//	meta.db       images, containers ─▶ blobs/sha256/…
//	              snapshots ──┐
//	metadata.db   snapshots ◀─┘ ────────▶ snapshots/N/fs
//
// containerd makes from right to left and removes from left to right, so that what is on the
// left is always on the right, whenever it was killed.
const (
	metaDB     = "io.containerd.metadata.v1.bolt/meta.db"
	overlayDir = "io.containerd.snapshotter.v1.overlayfs"
	overlayDB  = overlayDir + "/metadata.db"
	blobsDir   = "io.containerd.content.v1.content/blobs"
)

// damage is a root that no containerd can work with.
type damage struct {
	what string
	err  error
}

func (d *damage) Error() string {
	if d.err == nil {
		return d.what
	}
	return d.what + ": " + d.err.Error()
}

func (d *damage) Unwrap() error { return d.err }

// checkRoot looks at a root that no containerd has open. A *damage says that it cannot be
// worked with; any other error is one of looking, and says nothing about the root.
func checkRoot(root string) error {
	has := map[string]bool{}
	for _, name := range []string{metaDB, overlayDB} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking at containerd's database: %w", err)
		}
		has[name] = err == nil && info.Size() > 0
	}
	layers, err := os.ReadDir(filepath.Join(root, overlayDir, "snapshots"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking at containerd's snapshots: %w", err)
	}
	switch {
	case !has[metaDB] && !has[overlayDB] && len(layers) == 0:
		return nil // new
	case !has[metaDB]:
		return &damage{what: metaDB + " is lost, though there are snapshots"}
	}
	snapshots := map[string]uint64{} // numbers by name
	if has[overlayDB] {
		if err := inDatabase(filepath.Join(root, overlayDB), func(tx *bbolt.Tx) error { return readSnapshots(tx, snapshots) }); err != nil {
			return err
		}
	}
	return inDatabase(filepath.Join(root, metaDB), func(tx *bbolt.Tx) error {
		spaces := tx.Bucket([]byte("v1"))
		if spaces == nil {
			return nil
		}
		return spaces.ForEachBucket(func(name []byte) error { return checkSpace(root, spaces.Bucket(name), snapshots) })
	})
}

func readSnapshots(tx *bbolt.Tx, into map[string]uint64) error {
	list := bucket(tx.Bucket([]byte("v1")), "snapshots")
	if list == nil {
		return nil
	}
	return list.ForEachBucket(func(name []byte) error {
		into[string(name)], _ = binary.Uvarint(list.Bucket(name).Get([]byte("id")))
		return nil
	})
}

// checkSpace compares a namespace of containerd with what it refers to.
func checkSpace(root string, space *bbolt.Bucket, snapshots map[string]uint64) error {
	if list := bucket(space, "snapshots", "overlayfs"); list != nil {
		if err := list.ForEachBucket(func(key []byte) error {
			name := string(list.Bucket(key).Get([]byte("name")))
			id, known := snapshots[name]
			if !known {
				return &damage{what: fmt.Sprintf("%s does not know snapshot %s of %s", overlayDB, name, metaDB)}
			}
			return present(filepath.Join(root, overlayDir, "snapshots", strconv.FormatUint(id, 10), "fs"))
		}); err != nil {
			return err
		}
	}
	blobs := bucket(space, "content", "blob")
	if blobs == nil {
		return nil
	}
	return blobs.ForEachBucket(func(digest []byte) error {
		algorithm, sum, _ := strings.Cut(string(digest), ":")
		return present(filepath.Join(root, blobsDir, algorithm, sum))
	})
}

// bucket follows names down; nil when there is none.
func bucket(b *bbolt.Bucket, names ...string) *bbolt.Bucket {
	for _, name := range names {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(name))
	}
	return b
}

func present(path string) error {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &damage{what: path + " is gone"}
	}
	if err != nil {
		return fmt.Errorf("looking at what containerd has: %w", err)
	}
	return nil
}

// inDatabase reads a whole database and hands it to look. What the database itself is not fit for is damage: a
// panic too, and a fault in mapped memory whose file is too short.
func inDatabase(path string, look func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &damage{what: path + " is damaged", err: fmt.Errorf("%.200v", p)}
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at containerd's database: %w", err)
	}
	if info.Size() < smallest {
		return &damage{what: path + " is damaged", err: fmt.Errorf("it has %d bytes", info.Size())}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
		return &damage{what: path + " is damaged", err: err}
	}
	if err != nil {
		return fmt.Errorf("looking at containerd's database %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return &damage{what: path + " is damaged", err: fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())}
		}
		if err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return visit(b, 0) }); err != nil {
			return err
		}
		return look(tx)
	})
}

// smallest is what a database begins with: two pages that lead to the others.
const smallest = 2 << 12

// deepest is more than containerd's buckets lie in each other.
const deepest = 16

// visit reads all pages below a bucket.
func visit(b *bbolt.Bucket, depth int) error {
	if depth > deepest {
		return &damage{what: "a database of containerd is damaged: a bucket lies in itself"}
	}
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return visit(b.Bucket(k), depth+1)
		}
		return nil
	})
}
