package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Tree is the content of an image's layer, by absolute path.
type Tree map[string]Node

// Node is a file, folder or link. Exactly one of Data, Source, Link or Dir says which.
type Node struct {
	Mode     fs.FileMode // permission bits and setuid, setgid, sticky
	UID, GID int
	Data     []byte
	Source   string // a file on this host
	Link     string // a symbolic link's target
	Dir      bool
}

// Add puts a node at p and makes the folders above it.
func (t Tree) Add(p string, n Node) {
	p = path.Clean("/" + p)
	t[p] = n
	for d := path.Dir(p); d != "/"; d = path.Dir(d) {
		if _, ok := t[d]; !ok {
			t[d] = Node{Dir: true, Mode: 0o755}
		}
	}
}

// AddDir copies a folder of this host into the tree at p, owners and modes included.
func (t Tree) AddDir(p, source string) error {
	return filepath.WalkDir(source, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, name)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n := Node{Mode: info.Mode() &^ fs.ModeType}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n.UID, n.GID = int(st.Uid), int(st.Gid)
		}
		switch info.Mode() & fs.ModeType {
		case 0:
			n.Source = name
		case fs.ModeDir:
			n.Dir = true
		case fs.ModeSymlink:
			if n.Link, err = os.Readlink(name); err != nil {
				return err
			}
		default:
			return nil // sockets, devices and pipes have no place in an image
		}
		t.Add(path.Join(p, filepath.ToSlash(rel)), n)
		return nil
	})
}

func (t Tree) writeTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	paths := make([]string, 0, len(t))
	for p := range t {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := t[p].writeTo(tw, strings.TrimPrefix(p, "/")); err != nil {
			return fmt.Errorf("packing %s: %w", p, err)
		}
	}
	return tw.Close()
}

func (n Node) writeTo(tw *tar.Writer, name string) error {
	h := &tar.Header{Name: name, Mode: tarMode(n.Mode), Uid: n.UID, Gid: n.GID, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	var body io.Reader = bytes.NewReader(n.Data)
	switch {
	case n.Dir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case n.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, n.Link, 0o777
	case n.Source != "":
		f, err := os.Open(n.Source)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Size, body = info.Size(), f
	default:
		h.Size = int64(len(n.Data))
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(tw, body)
	return err
}

func tarMode(m fs.FileMode) int64 {
	out := int64(m.Perm())
	for bit, v := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= v
		}
	}
	return out
}
