package logs

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// rotateEvery is how often sizes are looked at.
const rotateEvery = 10 * time.Second

// File is the log of a running container.
type File struct{ ID, Path string }

// Rotator keeps every running container's logs within MaxFiles files of about MaxSize bytes.
type Rotator struct {
	MaxSize  int64
	MaxFiles int
	Files    func() []File
	// Reopen has the runtime write to a new file at the same path.
	Reopen func(ctx context.Context, id string) error
	Log    *slog.Logger
}

// Run rotates until ctx ends.
func (r *Rotator) Run(ctx context.Context) error {
	ticker := time.NewTicker(rotateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, f := range r.Files() {
			if err := r.Check(ctx, f); err != nil {
				r.Log.Warn("rotating a container log", "file", f.Path, "err", err)
			}
		}
	}
}

// Check rotates one log if it is too large.
func (r *Rotator) Check(ctx context.Context, f File) error {
	info, err := os.Stat(f.Path)
	if err != nil || info.Size() < r.MaxSize {
		if os.IsNotExist(err) {
			return r.Reopen(ctx, f.ID) // a rotation that was cut short
		}
		return err
	}
	old := Rotated(f.Path)
	// The newest rotated file stays as it is, for readers in its middle; the one before is packed.
	for len(old) > r.MaxFiles-2 && len(old) > 0 {
		if err := os.Remove(old[0]); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing: %w", err)
		}
		old = old[1:]
	}
	for _, p := range old {
		if !strings.HasSuffix(p, ".gz") {
			if err := pack(p); err != nil {
				return err
			}
		}
	}
	to := f.Path + "." + time.Now().Format("20060102-150405")
	if err := os.Rename(f.Path, to); err != nil {
		return fmt.Errorf("renaming: %w", err)
	}
	if err := r.Reopen(ctx, f.ID); err != nil {
		if back := os.Rename(to, f.Path); back != nil {
			return fmt.Errorf("reopening: %w (and renaming back: %w)", err, back)
		}
		return fmt.Errorf("reopening: %w", err)
	}
	return nil
}

func pack(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("packing: %w", err)
	}
	defer in.Close()
	tmp := path + ".tmp"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("packing: %w", err)
	}
	z := gzip.NewWriter(out)
	if _, err = io.Copy(z, in); err == nil {
		err = z.Close()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path+".gz")
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("packing %s: %w", filepath.Base(path), err)
	}
	return os.Remove(path)
}
