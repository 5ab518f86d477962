package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"hyperkube/internal/bounds"
)

// ErrTooLarge says that an image would take more of the disk than any may.
var ErrTooLarge = errors.New("the image is too large")

// measure refuses an image whose files would be too many or too large. A few bytes of an
// archive can stand for any number of zeros, and unpacking writes them all.
func (s *Store) measure(ctx context.Context, img images.Image) error {
	store := s.c.ContentStore()
	manifest, err := images.Manifest(ctx, store, img.Target, platforms.Default())
	if err != nil {
		return fmt.Errorf("reading its manifest: %w", err)
	}
	left := allowance{bytes: bounds.ImageExpanded, files: bounds.ImageFiles}
	for _, layer := range manifest.Layers {
		if err := measureLayer(ctx, store, layer, &left); err != nil {
			return fmt.Errorf("layer %.19s: %w", layer.Digest, err)
		}
	}
	return nil
}

// allowance is what may still come.
type allowance struct{ bytes, files int64 }

func measureLayer(ctx context.Context, store content.Provider, layer ocispec.Descriptor, left *allowance) error {
	ra, err := store.ReaderAt(ctx, layer)
	if err != nil {
		return err
	}
	defer ra.Close()
	whole := io.NewSectionReader(ra, 0, ra.Size())
	if c, err := images.DiffCompression(ctx, layer.MediaType); err == nil && c == "" {
		return left.takeLayer(ctx, whole) // a reader that can seek passes over data
	}
	plain, err := compression.DecompressStream(whole)
	if err != nil {
		return err
	}
	defer plain.Close()
	return left.takeLayer(ctx, plain)
}

// takeLayer counts the files of a layer as they will be on disk.
func (a *allowance) takeLayer(ctx context.Context, layer io.Reader) error {
	in := tar.NewReader(layer)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is no tar archive: %w", err)
		}
		if a.files--; a.files < 0 {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, int64(bounds.ImageFiles))
		}
		if h.Size < 0 || h.Size > a.bytes {
			return fmt.Errorf("%w: more than %d GiB once unpacked", ErrTooLarge, int64(bounds.ImageExpanded)>>30)
		}
		a.bytes -= h.Size
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// limited fails where an archive is longer than any may be.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w: the archive has more than %d GiB", ErrTooLarge, int64(bounds.ImageExpanded)>>30)
	}
	return n, err
}
