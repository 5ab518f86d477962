package evict

import (
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Layers finds the writable layers of containers among the mounts of this process: the upper directory of the
// overlay that a runtime has mounted at …/<container id>/rootfs. Runtimes that mount otherwise have none here.
func Layers(mounts []*mountinfo.Info) map[string]string {
	out := map[string]string{}
	for _, m := range mounts {
		if m.FSType != "overlay" || filepath.Base(m.Mountpoint) != "rootfs" {
			continue
		}
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok && filepath.IsAbs(upper) {
				out[filepath.Base(filepath.Dir(m.Mountpoint))] = upper
			}
		}
	}
	return out
}
