package runtime

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// grow adds layers and blobs to a root, as containerd does.
func grow(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, dir := range []string{filepath.Dir(metaDB), overlayDir, filepath.Dir(blobsDir)} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	db, sn := databases(t, root, func(sn snapshots.Snapshotter) snapshots.Snapshotter { return sn })
	ctx := namespaces.WithNamespace(context.Background(), criSpace)
	if err := db.Init(ctx); err != nil {
		t.Fatal(err)
	}
	keep := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "yes"})
	for _, name := range names {
		s := db.Snapshotter("overlayfs")
		if _, err := s.Prepare(ctx, name, "", keep); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(ctx, "layer "+name, name, keep); err != nil {
			t.Fatal(err)
		}
		data := []byte(strings.Repeat(name, 1000))
		desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := content.WriteBlob(ctx, db.ContentStore(), name, bytes.NewReader(data), desc); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Close(), sn.Close()); err != nil {
		t.Fatal(err)
	}
}

// databases opens those of a root as containerd does; both are the caller's to close.
func databases(t *testing.T, root string, wrap func(snapshots.Snapshotter) snapshots.Snapshotter) (*metadata.DB, snapshots.Snapshotter) {
	t.Helper()
	sn, err := overlay.NewSnapshotter(filepath.Join(root, overlayDir))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := local.NewStore(filepath.Join(root, filepath.Dir(blobsDir)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := bbolt.Open(filepath.Join(root, metaDB), 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.NewDB(file, blobs, map[string]snapshots.Snapshotter{"overlayfs": wrap(sn)}), sn
}

func names(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, prefix+strings.Repeat("x", i+1))
	}
	return out
}

// blobOf is where grow puts the blob of a name.
func blobOf(root, name string) string {
	return filepath.Join(root, blobsDir, "sha256", digest.FromBytes([]byte(strings.Repeat(name, 1000))).Encoded())
}

// TestNameOfContainerd: a name that is none goes before containerd finds it, and one that is stays.
func TestNameOfContainerd(t *testing.T) {
	const good = "0f8fad5b-d9cb-469f-a165-70867728950e"
	for text, stays := range map[string]bool{good: true, "": false, good[:18]: false, strings.Repeat("\x00", 36): false, good + "\n": false} {
		root := t.TempDir()
		path := filepath.Join(root, nameFile)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		r := &Runtime{o: Options{Config: Config{Root: root, Socket: filepath.Join(root, "none")}, Logger: slog.New(slog.DiscardHandler)}}
		if err := r.renew(); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); (err == nil) != stays || stays && string(b) != text {
			t.Errorf("%q: left with %q, %v", text, b, err)
		}
	}
}

// TestDamage: what containerd cannot work with is told from what it can, whatever of it is lost or of another age.
func TestDamage(t *testing.T) {
	base := t.TempDir()
	before, now := filepath.Join(base, "before"), filepath.Join(base, "now")
	grow(t, before, names("a", 12)...)
	if err := os.CopyFS(now, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	grow(t, now, names("b", 12)...)
	garbage := []byte(strings.Repeat("garbage ", 10_000))
	for name, c := range map[string]struct {
		damage func(root, old string) error
		want   string // of the error; empty where containerd can work with it
	}{
		"nothing": {func(string, string) error { return nil }, ""},
		"no root": {func(root, _ string) error { return os.RemoveAll(root) }, ""},
		"meta older": {func(root, old string) error {
			return os.Rename(filepath.Join(old, metaDB), filepath.Join(root, metaDB))
		}, ""},
		"meta lost":     {func(root, _ string) error { return os.Remove(filepath.Join(root, metaDB)) }, "is lost"},
		"meta empty":    {func(root, _ string) error { return os.Truncate(filepath.Join(root, metaDB), 0) }, "is lost"},
		"meta no db":    {func(root, _ string) error { return os.WriteFile(filepath.Join(root, metaDB), garbage, 0o600) }, "invalid database"},
		"meta cut":      {func(root, _ string) error { return os.Truncate(filepath.Join(root, metaDB), 12288) }, "damaged"},
		"meta one page": {func(root, _ string) error { return os.Truncate(filepath.Join(root, metaDB), 4096) }, "damaged"},
		"meta garbled": {func(root, _ string) error {
			b, err := os.ReadFile(filepath.Join(root, metaDB))
			for at := 8192; at < len(b); at++ {
				b[at] = garbage[at%8]
			}
			return errors.Join(err, os.WriteFile(filepath.Join(root, metaDB), b, 0o600))
		}, "damaged"},
		"layers lost":  {func(root, _ string) error { return os.Remove(filepath.Join(root, overlayDB)) }, "does not know snapshot"},
		"layers empty": {func(root, _ string) error { return os.Truncate(filepath.Join(root, overlayDB), 0) }, "does not know snapshot"},
		"layers no db": {func(root, _ string) error { return os.WriteFile(filepath.Join(root, overlayDB), garbage, 0o600) }, "invalid database"},
		"layers older": {func(root, old string) error {
			return os.Rename(filepath.Join(old, overlayDB), filepath.Join(root, overlayDB))
		}, "does not know snapshot"},
		"folders gone":  {func(root, _ string) error { return os.RemoveAll(filepath.Join(root, overlayDir, "snapshots")) }, "is gone"},
		"a folder gone": {func(root, _ string) error { return os.RemoveAll(filepath.Join(root, overlayDir, "snapshots", "7")) }, "7/fs is gone"},
		"blobs gone":    {func(root, _ string) error { return os.RemoveAll(filepath.Join(root, blobsDir)) }, "is gone"},
		"a blob cut": {func(root, _ string) error {
			return os.Truncate(blobOf(root, "bx"), 100)
		}, "has 100 bytes of 2000"},
		"a blob empty": {func(root, _ string) error { return os.Truncate(blobOf(root, "bx"), 0) }, "has 0 bytes of 2000"},
		"a blob garbled": {func(root, _ string) error {
			path := blobOf(root, "bx")
			return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, make([]byte, 2000), 0o600))
		}, "is garbled"},
		"all but blobs": {func(root, _ string) error {
			return errors.Join(os.RemoveAll(filepath.Join(root, filepath.Dir(metaDB))), os.RemoveAll(filepath.Join(root, overlayDir)))
		}, ""},
		"both db lost": {func(root, _ string) error {
			return errors.Join(os.Remove(filepath.Join(root, metaDB)), os.Remove(filepath.Join(root, overlayDB)))
		}, "is lost"},
		"both db older": {func(root, old string) error {
			return errors.Join(os.Rename(filepath.Join(old, metaDB), filepath.Join(root, metaDB)), os.Rename(filepath.Join(old, overlayDB), filepath.Join(root, overlayDB)))
		}, ""},
		"meta is folder": {func(root, _ string) error {
			return errors.Join(os.Remove(filepath.Join(root, metaDB)), os.Mkdir(filepath.Join(root, metaDB), 0o700))
		}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			root, old := filepath.Join(dir, "root"), filepath.Join(dir, "old")
			if err := errors.Join(os.CopyFS(root, os.DirFS(now)), os.CopyFS(old, os.DirFS(before)), c.damage(root, old)); err != nil {
				t.Fatal(err)
			}
			err := checkRoot(root)
			var d *damage
			switch {
			case c.want == "":
				if err != nil {
					t.Errorf("%v", err)
				}
			case !errors.As(err, &d) || !strings.Contains(err.Error(), c.want):
				t.Errorf("want %q, got %v", c.want, err)
			}
			r := &Runtime{o: Options{Config: Config{Root: root, Socket: filepath.Join(dir, "none")}, Logger: slog.New(slog.DiscardHandler)}}
			for range 2 { // the second finds a new root, or none, and leaves what was set aside
				if err := r.renew(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(root + asideSuffix); (err == nil) != (d != nil) {
				t.Errorf("set aside: %v, damage: %v", err == nil, d)
			}
		})
	}
}
