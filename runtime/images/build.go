// Package images makes container images without a registry and a daemon: it
// builds them from files, and imports, lists and removes them in containerd's
// k8s.io namespace, where the kubelet finds them.
//
// Contract: Build is deterministic (no clock, sorted entries), so that the same
// input gives the same digests and an import of what is there already is cheap.
package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Image says what to build: one uncompressed layer of Tree, and its configuration.
type Image struct {
	Ref    string // fully qualified: host/name:tag
	Tree   Tree
	Config ocispec.ImageConfig
}

// Build writes the image as an OCI archive (a tar with oci-layout, index.json
// and blobs). The layer goes first to a temporary file in dir, as its digest leads it; the
// file has no name, so that nothing stays of it however this process ends.
func Build(w io.Writer, img Image, dir string) error {
	layer, err := nameless(dir)
	if err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	defer layer.Close()
	sum := &counting{h: sha256.New()}
	if err := img.Tree.writeTar(io.MultiWriter(layer, sum)); err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	layerDesc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: sum.digest(), Size: sum.n}
	blobs, index, err := describe(img, layerDesc)
	if err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	tw := tar.NewWriter(w)
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	err = errors.Join(
		addBytes(tw, ocispec.ImageLayoutFile, layout),
		addBytes(tw, ocispec.ImageIndexFile, index),
	)
	for _, b := range blobs {
		err = errors.Join(err, addBytes(tw, blobPath(digest.FromBytes(b)), b))
	}
	if err == nil {
		err = tw.WriteHeader(&tar.Header{Name: blobPath(layerDesc.Digest), Mode: 0o644, Size: layerDesc.Size, Format: tar.FormatPAX})
	}
	if err == nil {
		_, err = io.Copy(tw, layer)
	}
	if err = errors.Join(err, tw.Close()); err != nil {
		return fmt.Errorf("building %s: %w", img.Ref, err)
	}
	return nil
}

// nameless makes a file in dir that is gone once it is closed.
func nameless(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return f, err
	}
	// A file system that knows no files without a name.
	if f, err = os.CreateTemp(dir, ".hyperkube-layer-*"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// describe makes the config and manifest blobs and the index that names them.
func describe(img Image, layer ocispec.Descriptor) (blobs [][]byte, index []byte, err error) {
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   img.Config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return nil, nil, err
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
		Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return nil, nil, err
	}
	index, err = json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest)),
			Annotations: map[string]string{"io.containerd.image.name": img.Ref},
			Platform:    &ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		}},
	})
	return [][]byte{config, manifest}, index, err
}

func blobPath(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

func addBytes(tw *tar.Writer, name string, b []byte) error {
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(tw, bytes.NewReader(b))
	return err
}

// counting hashes and counts what is written to it.
type counting struct {
	h hash.Hash
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.h.Write(p)
}

func (c *counting) digest() digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(c.h.Sum(nil)))
}
