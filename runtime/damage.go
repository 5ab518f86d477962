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

	"github.com/containerd/containerd/v2/core/snapshots"
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
// left is always on the right, whenever it was killed; but for one thing. A layer that is
// unpacked gets its name in metadata.db first, and then in meta.db: between the two, meta.db
// knows it by the name it had while it was unpacked. Nobody uses it by that name, and containerd
// unpacks it again.
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
	numbers := map[string]uint64{} // of snapshots, by name
	if has[overlayDB] {
		if err := inDatabase(filepath.Join(root, overlayDB), func(tx *bbolt.Tx) error { return readSnapshots(tx, numbers) }); err != nil {
			return err
		}
	}
	return inDatabase(filepath.Join(root, metaDB), func(tx *bbolt.Tx) error {
		spaces := tx.Bucket([]byte("v1"))
		if spaces == nil {
			return nil
		}
		return spaces.ForEachBucket(func(name []byte) error { return checkSpace(root, spaces.Bucket(name), numbers) })
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
func checkSpace(root string, space *bbolt.Bucket, numbers map[string]uint64) error {
	used := usedBy(space)
	if list := bucket(space, "snapshots", "overlayfs"); list != nil {
		if err := list.ForEachBucket(func(key []byte) error {
			name := string(list.Bucket(key).Get([]byte("name")))
			id, known := numbers[name]
			switch {
			case known:
			case unpacked(key, list.Bucket(key), used):
				return nil
			default:
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
		size, _ := binary.Varint(blobs.Bucket(digest).Get([]byte("size")))
		return wholeBlob(filepath.Join(root, blobsDir, algorithm, sum), sum, size)
	})
}

// usedBy are the snapshots of a namespace's containers, by key.
func usedBy(space *bbolt.Bucket) map[string]bool {
	used := map[string]bool{}
	containers := bucket(space, "containers")
	if containers == nil {
		return used
	}
	_ = containers.ForEachBucket(func(id []byte) error { // fails for no reason of its own
		used[string(containers.Bucket(id).Get([]byte("snapshotKey")))] = true
		return nil
	})
	return used
}

// unpacked says that a snapshot is nothing but what a layer was unpacked in.
func unpacked(key []byte, snapshot *bbolt.Bucket, used map[string]bool) bool {
	if !strings.HasPrefix(string(key), snapshots.UnpackKeyPrefix+"-") || used[string(key)] {
		return false
	}
	children := snapshot.Bucket([]byte("children"))
	if children == nil {
		return true
	}
	first, _ := children.Cursor().First()
	return first == nil
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
