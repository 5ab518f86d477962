package images

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrRecord is how tar names an extended attribute, by which containerd unpacks it.
const xattrRecord = "SCHILY.xattr."

// carriedXattr lists the attributes that belong to a file wherever it lies: what it may do
// and what its user noted. Labels of this host's security module, access lists and
// overlay's own marks do not.
func carriedXattr(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// xattrsOf reads the attributes of a file that go into an image.
func xattrsOf(path string) (map[string]string, error) {
	names, err := xattr(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading attributes of %s: %w", path, err)
	}
	var out map[string]string
	for name := range strings.SplitSeq(string(names), "\x00") {
		if !carriedXattr(name) {
			continue
		}
		value, err := xattr(func(buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading attribute %s of %s: %w", name, path, err)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = string(value)
	}
	return out, nil
}

// xattr calls get with a buffer that is large enough; the kernel knows no larger than 64 KiB.
func xattr(get func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size = 64 << 10 {
		buf := make([]byte, size)
		n, err := get(buf)
		if errors.Is(err, unix.ERANGE) && size == 256 {
			continue
		}
		return buf[:max(n, 0)], err
	}
}
