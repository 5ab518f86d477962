package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

const (
	// maxLinks is how many symbolic links a path may lead through, as in the kernel.
	maxLinks = 40
	// maxSocket is how long the path of a unix socket may be: 108 bytes with a zero at the end.
	maxSocket = 107
	// longestSocket is the longest path below the data directory at which a socket may
	// be made: those of a kubelet's plugins.
	longestSocket = "/kubelet/device-plugins/kubelet.sock"
)

// ResolveDataDir is the one name of a data directory: everything of a cluster is found by
// it (its id, its mounts, its lock), so links are followed once and here. Nothing is made,
// and the directory need not be there.
func ResolveDataDir(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("--data-dir %q: want an absolute path", dir)
	}
	resolved, err := followLinks(filepath.Clean(dir))
	if err != nil {
		return "", fmt.Errorf("--data-dir %s: %w", dir, err)
	}
	if resolved == "/" {
		return "", fmt.Errorf("--data-dir %s is the root directory: choose a folder of its own", dir)
	}
	if err := checkPath(resolved); err != nil {
		return "", fmt.Errorf("--data-dir %s: %w", dir, err)
	}
	return resolved, nil
}

// followLinks is filepath.EvalSymlinks for a path whose end need not exist.
func followLinks(path string) (string, error) {
	done, rest, links := "/", names(path), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, name)
		info, err := os.Lstat(next)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", next)
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			done = "/"
		}
		rest = append(names(to), rest...)
	}
	return done, nil
}

func names(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// checkPath lists what may stand in the name of a data directory. It becomes part of
// mount options, which know commas, colons and backslashes, of configuration files and of
// lists of paths.
func checkPath(path string) error {
	for _, r := range path {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@=~ ", r) || r == unicode.ReplacementChar {
			return fmt.Errorf("the path has %q in it: letters, digits, spaces and . _ - + @ = ~ may be used, others have a meaning in mount options", r)
		}
	}
	if most := maxSocket - len(longestSocket); len(path) > most {
		return fmt.Errorf("the path has %d bytes: %d are the most, so that sockets of plugins fit below it, whose paths are limited to %d", len(path), most, maxSocket)
	}
	return nil
}
