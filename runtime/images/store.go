package images

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"

	"hyperkube/internal/bounds"
)

// Store is the images of one containerd.
type Store struct{ c *containerd.Client }

const (
	namespace   = "k8s.io"
	snapshotter = "overlayfs"
	// The CRI plugin keeps its hands off pinned images when it collects garbage.
	pinnedLabel  = "io.cri-containerd.pinned"
	managedLabel = "io.cri-containerd.image"
	// BuildLabel marks our own images with the build they came from.
	BuildLabel = "hyperkube.io/build"
)

// Open connects to containerd's socket.
func Open(socket string) (*Store, error) {
	c, err := containerd.New(socket, containerd.WithDefaultNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd at %s: %w", socket, err)
	}
	return &Store{c}, nil
}

// Close ends the connection.
func (s *Store) Close() error { return s.c.Close() }

// ImportOptions mark what is imported.
type ImportOptions struct {
	Pinned bool
	Build  string // value of BuildLabel
}

// Import reads a docker or OCI archive, unpacks its images and returns their names.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) ([]string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	imported, err := s.c.Import(ctx, &limited{r, bounds.ImageExpanded}, containerd.WithAllPlatforms(false))
	if err != nil {
		return nil, fmt.Errorf("importing the archive: %w", err)
	}
	if len(imported) == 0 {
		return nil, fmt.Errorf("the archive names no image: save it with a name and a tag")
	}
	var names []string
	for _, img := range imported {
		if o.Build == "" { // our own need no measuring
			if err := s.measure(ctx, img); err != nil {
				return names, errors.Join(fmt.Errorf("measuring %s: %w", img.Name, err), s.forget(ctx, imported[len(names):]))
			}
		}
		// Its files are on disk before anything says that they are: after a power cut they
		// would be empty, and nobody would unpack them again.
		if err := containerd.NewImage(s.c, img).Unpack(ctx, snapshotter, containerd.WithUnpackApplyOpts(diff.WithSyncFs(true))); err != nil {
			return names, fmt.Errorf("unpacking %s: %w", img.Name, err)
		}
		if _, err := s.label(ctx, img, o); err != nil {
			return names, fmt.Errorf("labelling %s: %w", img.Name, err)
		}
		names = append(names, img.Name)
	}
	return names, nil
}

// forget removes images that were not accepted; containerd collects what they were made of.
func (s *Store) forget(ctx context.Context, refused []images.Image) error {
	var errs []error
	for _, img := range refused {
		if err := s.c.ImageService().Delete(ctx, img.Name); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing %s again: %w", img.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) label(ctx context.Context, img images.Image, o ImportOptions) (images.Image, error) {
	if img.Labels == nil {
		img.Labels = map[string]string{}
	}
	img.Labels[managedLabel] = "managed"
	if o.Pinned {
		img.Labels[pinnedLabel] = "pinned"
	}
	if o.Build != "" {
		img.Labels[BuildLabel] = o.Build
	}
	return s.c.ImageService().Update(ctx, img, "labels")
}

// Build returns the build label of ref, or "" when the image is absent or not unpacked.
func (s *Store) Build(ctx context.Context, ref string) (string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	img, err := s.c.GetImage(ctx, ref)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", ref, err)
	}
	// What it is made of may be gone or have never been there, whatever its label says.
	if whole, err := img.IsUnpacked(ctx, snapshotter); errdefs.IsNotFound(err) || err == nil && !whole {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("looking into %s: %w", ref, err)
	}
	return img.Labels()[BuildLabel], nil
}

// Listed is one image as `hyperkube image list` shows it.
type Listed struct {
	Name, Digest string
	Size         int64 // bytes in the content store
	Pinned       bool
}

// List returns the named images, sorted by name as containerd keeps them.
func (s *Store) List(ctx context.Context) ([]Listed, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	all, err := s.c.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	var out []Listed
	for _, img := range all {
		size, err := img.Size(ctx)
		if err != nil {
			return nil, fmt.Errorf("sizing %s: %w", img.Name(), err)
		}
		out = append(out, Listed{img.Name(), img.Target().Digest.String(), size, img.Labels()[pinnedLabel] == "pinned"})
	}
	return out, nil
}

// layerOf is the folder in which the files of a one-layer image lie.
func (s *Store) layerOf(ctx context.Context, ref string) (string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	img, err := s.c.GetImage(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", ref, err)
	}
	layers, err := img.RootFS(ctx)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", ref, err)
	}
	snapshots := s.c.SnapshotService(snapshotter)
	// A name of its own: one that a process which was killed left behind stands in nobody's way, nor does one that a
	// snapshotter remembers whose owner does not. containerd collects them.
	key := fmt.Sprintf("hyperkube-look-%s-%s", ref, rand.Text())
	mounts, err := snapshots.View(ctx, key, identity.ChainID(layers).String())
	if err != nil {
		return "", fmt.Errorf("looking into %s: %w", ref, err)
	}
	defer snapshots.Remove(context.WithoutCancel(ctx), key)
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return "", fmt.Errorf("looking into %s: its snapshot is not one folder", ref)
	}
	return mounts[0].Source, nil
}
