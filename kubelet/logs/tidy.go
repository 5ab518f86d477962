package logs

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tidy removes rotated files that are too many. The newest one stays as it is, for readers in its middle; those
// before it are packed if that is asked for.
func (r *Rotator) tidy(path string, packing bool) error {
	old := Rotated(path)
	for len(old) > r.MaxFiles-1 && len(old) > 0 {
		if err := os.Remove(old[0]); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing: %w", err)
		}
		old = old[1:]
	}
	if !packing || len(old) == 0 {
		return nil
	}
	for _, p := range old[:len(old)-1] {
		if !strings.HasSuffix(p, ".gz") {
			if err := pack(p); err != nil {
				return err
			}
		}
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
