package evict

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Limits are the limits of a pod's directories on disk, by the volume's name.
func Limits(pod *v1.Pod) map[string]*resource.Quantity {
	var out map[string]*resource.Quantity
	for i := range pod.Spec.Volumes {
		e := pod.Spec.Volumes[i].EmptyDir
		if e == nil || e.Medium != v1.StorageMediumDefault || e.SizeLimit == nil || e.SizeLimit.Sign() <= 0 {
			continue
		}
		if out == nil {
			out = map[string]*resource.Quantity{}
		}
		out[pod.Spec.Volumes[i].Name] = e.SizeLimit
	}
	return out
}

// Usage is what a directory takes on its disk, as du counts: blocks, each file once however many names it has, and
// nothing of other file systems below it.
func Usage(ctx context.Context, dir string) (int64, error) {
	type inode struct{ dev, ino uint64 }
	var (
		total int64
		seen  = map[inode]bool{}
		dev   uint64
	)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil // removed while we walk
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if path == dir {
			dev = st.Dev
		}
		if st.Dev != dev {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			at := inode{st.Dev, st.Ino}
			if seen[at] {
				return nil
			}
			seen[at] = true
		}
		total += st.Blocks * 512
		return nil
	})
	return total, err
}
