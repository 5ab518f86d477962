package images

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"hyperkube/internal/supervise"
	"hyperkube/runtime/carried"
)

// Own are the two images that every cluster needs, built from the running binary.
type Own struct {
	PauseRef     string
	HyperkubeRef string
	Binary       string // usually /proc/self/exe
	Scratch      string // a folder with room for the largest layer while it is made
}

// Ensure imports those of the images that are not there from this very build.
func (o Own) Ensure(ctx context.Context, s *Store) error {
	build, err := BuildID(o.Binary)
	if err != nil {
		return err
	}
	for _, img := range []func() (Image, error){o.pause, o.hyperkube} {
		image, err := img()
		if err != nil {
			return err
		}
		have, err := s.Build(ctx, image.Ref)
		if err != nil {
			return err
		}
		if have == build {
			continue
		}
		if err := s.BuildAndImport(ctx, image, o.Scratch, ImportOptions{Pinned: true, Build: build}); err != nil {
			return err
		}
	}
	return nil
}

// Share makes the hyperkube image's program the very file that this process
// runs, by a hard link, so that pods of it share its pages in memory. It reports
// false where the two lie on different file systems, or the file was replaced
// since; the image's own copy is as good then.
func (o Own) Share(ctx context.Context, s *Store) (bool, error) {
	program, err := os.Readlink(o.Binary)
	if err != nil {
		return false, fmt.Errorf("finding this program: %w", err)
	}
	running, err := os.Stat(o.Binary)
	if err != nil {
		return false, fmt.Errorf("finding this program: %w", err)
	}
	if now, err := os.Stat(program); err != nil || !os.SameFile(now, running) {
		return false, nil
	}
	root, err := s.layerOf(ctx, o.HyperkubeRef)
	if err != nil {
		return false, err
	}
	copied := filepath.Join(root, "hyperkube")
	have, err := os.Stat(copied)
	if err != nil {
		return false, fmt.Errorf("looking into the image: %w", err)
	}
	if os.SameFile(have, running) {
		return true, nil
	}
	if have.Size() != running.Size() {
		return false, nil
	}
	link := copied + ".link"
	if err := ignoreMissing(os.Remove(link)); err != nil {
		return false, err
	}
	if err := os.Link(program, link); err != nil {
		return false, nil // another file system, or links are forbidden
	}
	if err := os.Rename(link, copied); err != nil {
		return false, fmt.Errorf("sharing the program with its image: %w", err)
	}
	return true, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// BuildAndImport streams the image from the builder into containerd; its layer takes room in
// scratch meanwhile.
func (s *Store) BuildAndImport(ctx context.Context, img Image, scratch string, o ImportOptions) error {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(supervise.Contain("building an image", func() error { return Build(w, img, scratch) }))
	}()
	defer r.Close() // ends the builder when the import stops early
	if _, err := s.Import(ctx, r, o); err != nil {
		return fmt.Errorf("importing %s: %w", img.Ref, err)
	}
	return nil
}

func (o Own) pause() (Image, error) {
	b, err := carried.Program(carried.Pause)
	if err != nil {
		return Image{}, err
	}
	t := Tree{}
	t.Add("/pause", Node{Mode: 0o755, Data: b})
	return Image{Ref: o.PauseRef, Tree: t, Config: ocispec.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535"}}, nil
}

func (o Own) hyperkube() (Image, error) {
	t := Tree{}
	t.Add("/hyperkube", Node{Mode: 0o755, Source: o.Binary})
	t.Add("/tmp", Node{Dir: true, Mode: 0o777 | os.ModeSticky})
	t.Add("/etc/passwd", Node{Mode: 0o644, Data: []byte("root:x:0:0:root:/:/hyperkube\nnobody:x:65534:65534:nobody:/:/hyperkube\n")})
	return Image{Ref: o.HyperkubeRef, Tree: t, Config: ocispec.ImageConfig{Entrypoint: []string{"/hyperkube"}, Env: []string{"PATH=/"}}}, nil
}

// BuildID tells one build of a Go program from another: a hash of the id the
// linker left in the file.
func BuildID(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the build id of %s: %w", path, err)
	}
	defer f.Close()
	s := f.Section(".note.go.buildid")
	if s == nil {
		return "", fmt.Errorf("%s has no Go build id", path)
	}
	b, err := s.Data()
	if err != nil {
		return "", fmt.Errorf("reading the build id of %s: %w", path, err)
	}
	h := fnv.New64a()
	h.Write(b)
	return fmt.Sprintf("%016x", h.Sum64()), nil
}
