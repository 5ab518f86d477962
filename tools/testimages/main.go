// Command testimages makes the images that the tests and the README's first
// steps use, from Debian packages and our own net tool, as OCI archives:
//
//	testimages -nettool PATH -o DIR
//
// It needs apt-get and dpkg-deb, downloads into a cache folder, installs nothing,
// and writes busybox.tar, nginx-v1.tar, nginx-v2.tar and nettool.tar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"hyperkube/runtime/images"
)

// Registry is the host part of every test image's name: one that can never be pulled from.
const registry = "hyperkube.test/"

type builder struct {
	ctx            context.Context
	cache, out     string
	nettool        string
	unpackedFolder map[string]string // package → where it was unpacked
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &builder{ctx: ctx, unpackedFolder: map[string]string{}}
	flag.StringVar(&b.out, "o", "build/images", "where the archives go")
	flag.StringVar(&b.cache, "cache", "build/deb", "where packages are kept")
	flag.StringVar(&b.nettool, "nettool", "build/nettool", "the built net tool")
	flag.Parse()
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "testimages:", err)
		os.Exit(1)
	}
}

// recipes is the one list of test images.
var recipes = []struct {
	file string
	make func(*builder) (images.Image, error)
}{
	{"busybox.tar", (*builder).busybox},
	{"nginx-v1.tar", func(b *builder) (images.Image, error) { return b.nginx("v1") }},
	{"nginx-v2.tar", func(b *builder) (images.Image, error) { return b.nginx("v2") }},
	{"nettool.tar", (*builder).netTool},
}

func (b *builder) run() error {
	if err := errors.Join(os.MkdirAll(b.out, 0o755), os.MkdirAll(b.cache, 0o755)); err != nil {
		return err
	}
	for _, r := range recipes {
		path := filepath.Join(b.out, r.file)
		img, err := r.make(b)
		if err != nil {
			return fmt.Errorf("making %s: %w", r.file, err)
		}
		if err := write(path, img); err != nil {
			return err
		}
		fmt.Println(img.Ref, path)
	}
	return nil
}

func write(path string, img images.Image) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	err = errors.Join(images.Build(f, img, filepath.Dir(path)), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return os.Rename(f.Name(), path)
}

// unpack downloads a Debian package, once, and returns the folder of its files.
func (b *builder) unpack(pkg string) (string, error) {
	if dir, ok := b.unpackedFolder[pkg]; ok {
		return dir, nil
	}
	cache, err := filepath.Abs(b.cache)
	if err != nil {
		return "", err
	}
	have, err := filepath.Glob(filepath.Join(cache, pkg+"_*.deb"))
	if err != nil {
		return "", err
	}
	if len(have) == 0 {
		if err := b.command(cache, "apt-get", "download", "-q", pkg); err != nil {
			return "", fmt.Errorf("downloading %s (has apt-get update run?): %w", pkg, err)
		}
		if have, err = filepath.Glob(filepath.Join(cache, pkg+"_*.deb")); err != nil || len(have) == 0 {
			return "", fmt.Errorf("apt-get download %s left no package", pkg)
		}
	}
	dir := filepath.Join(cache, pkg)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := b.command(cache, "dpkg-deb", "-x", have[len(have)-1], dir); err != nil {
		return "", err
	}
	b.unpackedFolder[pkg] = dir
	return dir, nil
}

func (b *builder) command(dir string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
