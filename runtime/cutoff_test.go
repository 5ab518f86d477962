package runtime

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"go.etcd.io/bbolt"
)

// cutOff is a snapshotter whose commits are the last that is seen of them: nothing
// that follows gets into the database above it.
type cutOff struct{ snapshots.Snapshotter }

var errCutOff = errors.New("killed")

func (c cutOff) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return errors.Join(c.Snapshotter.Commit(ctx, name, key, opts...), errCutOff)
}

const (
	cutLayer = "sha256:9bf745eb424b73735c300fb8247ba7564ae5af8b069e3bc9c0c0f68bbd320c9a"
	cutKey   = snapshots.UnpackKeyPrefix + "-342932913-doc2 " + cutLayer
)

// unpack makes a layer as containerd unpacks it, above one that is there.
func unpack(t *testing.T, root, key string, wrap func(snapshots.Snapshotter) snapshots.Snapshotter) error {
	t.Helper()
	db, sn := databases(t, root, wrap)
	ctx := namespaces.WithNamespace(context.Background(), criSpace)
	keep := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "yes"})
	s := db.Snapshotter("overlayfs")
	if _, err := s.Prepare(ctx, key, "layer ax", keep); err != nil {
		t.Fatal(err)
	}
	done := s.Commit(ctx, cutLayer, key, keep)
	if err := errors.Join(db.Close(), sn.Close()); err != nil {
		t.Fatal(err)
	}
	return done
}

// TestCutOffWhileUnpacking: a containerd that is killed between the two databases' commits of a
// layer leaves a root that it can work with, and unpacks the layer again. A container in such a
// layer would have lost what it runs in.
func TestCutOffWhileUnpacking(t *testing.T) {
	root := t.TempDir()
	grow(t, root, names("a", 3)...)
	err := unpack(t, root, cutKey, func(s snapshots.Snapshotter) snapshots.Snapshotter { return cutOff{s} })
	if !errors.Is(err, errCutOff) {
		t.Fatal(err)
	}
	if err := checkRoot(root); err != nil {
		t.Errorf("cut off: %v", err)
	}
	if err := unpack(t, root, cutKey+" again", func(s snapshots.Snapshotter) snapshots.Snapshotter { return s }); err != nil {
		t.Errorf("unpacked again: %v", err)
	}
	if err := checkRoot(root); err != nil {
		t.Errorf("unpacked again: %v", err)
	}
	alter(t, root, func(space *bbolt.Bucket) error {
		b := space
		for _, name := range []string{"containers", "c"} {
			var err error
			if b, err = b.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return b.Put([]byte("snapshotKey"), []byte(cutKey))
	})
	var d *damage
	if err := checkRoot(root); !errors.As(err, &d) || !strings.Contains(err.Error(), "does not know snapshot") {
		t.Errorf("used by a container: %v", err)
	}
}

// TestCutOffWithChildren: a snapshot that others lie on is more than what was unpacked.
func TestCutOffWithChildren(t *testing.T) {
	root := t.TempDir()
	grow(t, root, names("a", 3)...)
	err := unpack(t, root, cutKey, func(s snapshots.Snapshotter) snapshots.Snapshotter { return cutOff{s} })
	if !errors.Is(err, errCutOff) {
		t.Fatal(err)
	}
	alter(t, root, func(space *bbolt.Bucket) error {
		children, err := bucket(space, "snapshots", "overlayfs", cutKey).CreateBucketIfNotExists([]byte("children"))
		if err != nil {
			return err
		}
		return children.Put([]byte("x"), nil)
	})
	var d *damage
	if err := checkRoot(root); !errors.As(err, &d) {
		t.Errorf("want damage, got %v", err)
	}
}

// alter changes what meta.db has of the namespace of pods.
func alter(t *testing.T, root string, change func(space *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(root, metaDB), 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return change(bucket(tx.Bucket([]byte("v1")), criSpace)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
