package images

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Tree is the content of an image's layer, by absolute path.
type Tree map[string]Node

// Node is one entry. At most one of Data, Source, Link, Hard, Dir, Fifo and Device says what
// it is; none is an empty file.
type Node struct {
	Mode     fs.FileMode // permission bits and setuid, setgid, sticky
	UID, GID int
	Data     []byte
	Source   string // a file on this host
	Link     string // a symbolic link's target
	Hard     string // absolute path in the tree of a file that this is another name of
	Dir      bool
	Fifo     bool
	Device   *Device
	Xattrs   map[string]string
}

// Device is a device node.
type Device struct {
	Block        bool
	Major, Minor int64
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

// inode tells files of this host apart.
type inode struct{ dev, ino uint64 }

// AddDir copies a folder of this host into the tree at p, as tar does: with owners, modes,
// hard links, extended attributes, device nodes and pipes. Sockets are left out.
func (t Tree) AddDir(p, source string) error {
	seen := map[inode]string{} // first name of each file that has several
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
		at := path.Join(p, filepath.ToSlash(rel))
		n, ok, err := nodeOf(name, info)
		if err != nil || !ok {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !n.Dir && st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			if first, ok := seen[id]; ok {
				n = Node{Hard: first}
			} else {
				seen[id] = path.Clean("/" + at)
			}
		}
		t.Add(at, n)
		return nil
	})
}

// nodeOf describes a file of this host; ok is false for what has no place in an image.
func nodeOf(name string, info fs.FileInfo) (n Node, ok bool, err error) {
	n.Mode = info.Mode() &^ fs.ModeType
	st, haveStat := info.Sys().(*syscall.Stat_t)
	if haveStat {
		n.UID, n.GID = int(st.Uid), int(st.Gid)
	}
	switch info.Mode() & fs.ModeType {
	case 0:
		n.Source = name
	case fs.ModeDir:
		n.Dir = true
	case fs.ModeSymlink:
		n.Link, err = os.Readlink(name)
		return n, true, err // its attributes cannot be a user's, nor a capability
	case fs.ModeNamedPipe:
		n.Fifo = true
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		if !haveStat {
			return n, false, fmt.Errorf("%s: its device number cannot be read", name)
		}
		n.Device = &Device{Block: info.Mode()&fs.ModeCharDevice == 0, Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev)))}
	default:
		return n, false, nil
	}
	n.Xattrs, err = xattrsOf(name)
	return n, true, err
}

func (t Tree) writeTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	paths := make([]string, 0, len(t))
	for p := range t {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	// A hard link must follow the file it names, which sorts before it only as AddDir finds them.
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(isHard(t[a]), isHard(t[b])) })
	for _, p := range paths {
		n := t[p]
		if to, ok := t[path.Clean("/"+n.Hard)]; n.Hard != "" && (!ok || to.Hard != "" || to.Dir) {
			return fmt.Errorf("packing %s: there is no file %s that it could be a name of", p, n.Hard)
		}
		if err := n.writeTo(tw, w, strings.TrimPrefix(p, "/")); err != nil {
			return fmt.Errorf("packing %s: %w", p, err)
		}
	}
	return tw.Close()
}

func isHard(n Node) int {
	if n.Hard != "" {
		return 1
	}
	return 0
}

// writeTo adds the node to tw, which writes to w.
func (n Node) writeTo(tw *tar.Writer, w io.Writer, name string) error {
	h := &tar.Header{Name: name, Mode: tarMode(n.Mode), Uid: n.UID, Gid: n.GID, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	for k, v := range n.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+k] = v
	}
	var body io.Reader = bytes.NewReader(n.Data)
	switch {
	case n.Dir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case n.Hard != "":
		h.Typeflag, h.Linkname = tar.TypeLink, strings.TrimPrefix(path.Clean("/"+n.Hard), "/")
	case n.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, n.Link, 0o777
	case n.Fifo:
		h.Typeflag = tar.TypeFifo
	case n.Device != nil:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, n.Device.Major, n.Device.Minor
		if n.Device.Block {
			h.Typeflag = tar.TypeBlock
		}
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
		parts, err := dataOf(f, info.Size())
		if err != nil {
			return err
		}
		if len(parts) > 0 {
			return writeSparse(tw, w, h, f, info.Size(), parts)
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
