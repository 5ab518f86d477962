package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blob is a content store of one layer.
type blob []byte

func (b blob) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return opened{bytes.NewReader(b)}, nil
}

type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

// zeros is a layer of one file with n zeros.
func zeros(t *testing.T, n int64, to func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := to(&b)
	tw := tar.NewWriter(w)
	must(t, tw.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o600, Size: n, Format: tar.FormatPAX}))
	_, err := io.CopyN(tw, endless{}, n)
	must(t, err)
	must(t, tw.Close())
	must(t, w.Close())
	return b.Bytes()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type open struct{ io.Writer }

func (open) Close() error { return nil }

// TestMeasure: what a layer becomes on disk counts, however small it is sent.
func TestMeasure(t *testing.T) {
	hollow := filepath.Join(t.TempDir(), "root")
	must(t, os.MkdirAll(hollow, 0o755))
	must(t, os.WriteFile(filepath.Join(hollow, "hole"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(hollow, "hole"), 1<<40))
	for name, c := range map[string]struct {
		layer []byte
		media string
		left  allowance
		ok    bool
	}{
		"fits":               {zeros(t, 1000, func(w io.Writer) io.WriteCloser { return open{w} }), ocispec.MediaTypeImageLayer, allowance{1000, 1}, true},
		"one too many":       {zeros(t, 1001, func(w io.Writer) io.WriteCloser { return open{w} }), ocispec.MediaTypeImageLayer, allowance{1000, 1}, false},
		"too many":           {pack(t, root(t)), ocispec.MediaTypeImageLayer, allowance{1 << 40, 5}, false},
		"gzip":               {zeros(t, 64<<20, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), ocispec.MediaTypeImageLayerGzip, allowance{32 << 20, 9}, false},
		"gzip fits":          {zeros(t, 64<<20, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), ocispec.MediaTypeImageLayerGzip, allowance{64 << 20, 9}, true},
		"zstd":               {zeros(t, 64<<20, zstdTo), ocispec.MediaTypeImageLayerZstd, allowance{32 << 20, 9}, false},
		"called plain":       {zeros(t, 64<<20, zstdTo), images.MediaTypeDockerSchema2LayerGzip, allowance{32 << 20, 9}, false},
		"a terabyte of hole": {pack(t, hollow), ocispec.MediaTypeImageLayer, allowance{1 << 30, 9}, false},
	} {
		left := c.left
		err := measureLayer(t.Context(), blob(c.layer), ocispec.Descriptor{MediaType: c.media}, &left)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s (%d bytes): %v", name, len(c.layer), err)
		}
	}
	err := measureLayer(t.Context(), blob("no archive at all, but long enough to be taken for one"), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer}, &allowance{1, 1})
	if err == nil {
		t.Error("garbage was measured")
	}
	if _, err := io.Copy(io.Discard, &limited{endless{}, 1 << 20}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an endless archive: %v", err)
	}
}

func zstdTo(w io.Writer) io.WriteCloser {
	z, err := zstd.NewWriter(w)
	if err != nil {
		panic(err)
	}
	return z
}
