package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root is a folder with one of everything that an image may hold.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("bin"), 0o755))
	must(t, os.MkdirAll(at("a"), 0o755))
	must(t, os.WriteFile(at("bin/busybox"), bytes.Repeat([]byte("program "), 4096), 0o755))
	for i := range 20 {
		must(t, os.Link(at("bin/busybox"), at(fmt.Sprintf("a/applet%02d", i))))
	}
	must(t, os.Symlink("busybox", at("bin/sh")))
	must(t, unix.Mkfifo(at("pipe"), 0o640))
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(at("loop"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 300))))
		must(t, unix.Lsetxattr(at("bin/busybox"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	}
	f, err := os.Create(at("sparse"))
	must(t, err)
	_, err = f.WriteAt([]byte("begins"), 0)
	must(t, err)
	_, err = f.WriteAt([]byte("in the middle"), 8<<20)
	must(t, err)
	must(t, f.Truncate(16<<20))
	must(t, f.Close())
	must(t, os.WriteFile(at("sparse-"+strings.Repeat("long", 40)), nil, 0o600))
	must(t, os.Truncate(at("sparse-"+strings.Repeat("long", 40)), 4<<20))
	must(t, os.WriteFile(at("z"), []byte("last"), 0o600))
	return dir
}

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	tree := Tree{}
	must(t, tree.AddDir("/", dir))
	var b bytes.Buffer
	must(t, tree.writeTar(&b))
	return b.Bytes()
}

// TestTreeAsTarDoes: what Go's and GNU's tar make of the layer is what the folder was.
func TestTreeAsTarDoes(t *testing.T) {
	dir := root(t)
	layer := pack(t, dir)
	if len(layer) > 200<<10 {
		t.Errorf("the layer has %d bytes: links or holes were written out", len(layer))
	}
	if !bytes.Equal(layer, pack(t, dir)) {
		t.Error("two layers of one folder differ")
	}
	links, types := 0, map[string]byte{}
	var first *tar.Header
	in := tar.NewReader(bytes.NewReader(layer))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		types[h.Name] = h.Typeflag
		if h.Typeflag == tar.TypeLink {
			links++
			if h.Linkname != "a/applet00" {
				t.Errorf("%s is a link to %s", h.Name, h.Linkname)
			}
		}
		if h.Name == "a/applet00" {
			first = h
		}
		if strings.HasPrefix(h.Name, "sparse") {
			sameContent(t, in, filepath.Join(dir, h.Name))
		}
	}
	if links != 20 || types["pipe"] != tar.TypeFifo || types["bin/sh"] != tar.TypeSymlink {
		t.Errorf("%d links, types %v", links, types)
	}
	if os.Geteuid() == 0 && (types["null"] != tar.TypeChar || types["loop"] != tar.TypeBlock || len(first.PAXRecords["SCHILY.xattr.security.capability"]) != 20) {
		t.Errorf("types %v, records %q", types, first.PAXRecords)
	}
	unpackedByTar(t, layer, dir)
}

func sameContent(t *testing.T, in io.Reader, path string) {
	t.Helper()
	got, want := sha256.New(), sha256.New()
	_, err := io.Copy(got, in)
	must(t, err)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	_, err = io.Copy(want, f)
	must(t, err)
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%s has another content", path)
	}
}

// unpackedByTar has the host's tar unpack the layer, and compares.
func unpackedByTar(t *testing.T, layer []byte, dir string) {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command("tar", "-x", "-C", out)
	cmd.Stdin = bytes.NewReader(layer)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, b)
	}
	if b, err := exec.Command("diff", "-r", "--no-dereference", "--exclude=null", "--exclude=loop", "--exclude=pipe", dir, out).CombinedOutput(); err != nil {
		t.Errorf("unpacked: %v\n%s", err, b)
	}
	a, err := os.Stat(filepath.Join(out, "bin/busybox"))
	must(t, err)
	b, err := os.Stat(filepath.Join(out, "a/applet07"))
	must(t, err)
	if !os.SameFile(a, b) {
		t.Error("links became copies")
	}
}

// TestHardLinkToNothing: a link without its file is refused, not packed.
func TestHardLinkToNothing(t *testing.T) {
	for _, tree := range []Tree{{"/a": {Hard: "/none"}}, {"/a": {Hard: "/b"}, "/b": {Hard: "/a"}}, {"/a": {Hard: "/d"}, "/d": {Dir: true}}} {
		if err := tree.writeTar(io.Discard); err == nil {
			t.Errorf("%v was packed", tree)
		}
	}
	var b bytes.Buffer
	if err := (Tree{"/a": {Hard: "/b"}, "/b": {Data: []byte("x")}}).writeTar(&b); err != nil {
		t.Error(err)
	}
	if h, err := tar.NewReader(&b).Next(); err != nil || h.Name != "b" {
		t.Errorf("the link comes before its file: %v %v", h, err)
	}
}

// TestCarriedXattr lists what goes into an image.
func TestCarriedXattr(t *testing.T) {
	for name, want := range map[string]bool{
		"security.capability": true, "user.note": true, "user.overlay.opaque": false, "trusted.overlay.opaque": false,
		"security.selinux": false, "system.posix_acl_access": false, "": false,
	} {
		if carriedXattr(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}
