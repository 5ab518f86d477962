package main

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"hyperkube/runtime/images"
)

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func baseTree() images.Tree {
	t := images.Tree{}
	t.Add("/tmp", images.Node{Dir: true, Mode: 0o777 | fs.ModeSticky})
	t.Add("/root", images.Node{Dir: true, Mode: 0o700})
	t.Add("/etc/passwd", images.Node{Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n")})
	t.Add("/etc/group", images.Node{Mode: 0o644, Data: []byte("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")})
	return t
}

// addBusybox puts busybox, the libraries it loads and a link for each of its applets into
// t. It is the dynamic one: a static glibc cannot resolve names.
func (b *builder) addBusybox(t images.Tree) error {
	bin, err := b.find("busybox", "busybox")
	if err != nil {
		return err
	}
	t.Add("/bin/busybox", images.Node{Mode: 0o755, Source: bin})
	t.Add("/etc/nsswitch.conf", images.Node{Mode: 0o644, Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")})
	loader, err := b.addLibraries(t, bin, "libc6")
	if err != nil {
		return err
	}
	// Run by its own loader, so that this machine needs no glibc of that version.
	out, err := exec.CommandContext(b.ctx, loader, "--library-path", filepath.Dir(loader), bin, "--list").Output()
	if err != nil {
		return fmt.Errorf("asking busybox for its applets: %w", err)
	}
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			t.Add("/bin/"+applet, images.Node{Link: "busybox"})
		}
	}
	return nil
}

// addLibraries puts a program's loader and the libraries that it and they need, all of a
// package, to where the loader looks for them. It returns the loader's path on this machine.
func (b *builder) addLibraries(t images.Tree, program, pkg string) (loader string, err error) {
	asks, needs, err := interpreter(program)
	if err != nil {
		return "", err
	}
	if loader, err = b.find(pkg, filepath.Base(asks)); err != nil {
		return "", err
	}
	t.Add(asks, images.Node{Mode: 0o755, Source: loader})
	added := map[string]bool{filepath.Base(asks): true}
	for len(needs) > 0 {
		name := needs[0]
		needs = needs[1:]
		if added[name] {
			continue
		}
		added[name] = true
		lib, err := b.find(pkg, name)
		if err != nil {
			return "", err
		}
		t.Add("/lib/"+filepath.Base(filepath.Dir(lib))+"/"+name, images.Node{Mode: 0o644, Source: lib})
		_, more, err := interpreter(lib)
		if err != nil {
			return "", err
		}
		needs = append(needs, more...)
	}
	return loader, nil
}

// interpreter reads which loader a program asks for and which libraries it needs.
func interpreter(path string) (loader string, needs []string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	if s := f.Section(".interp"); s != nil {
		text, err := s.Data()
		if err != nil {
			return "", nil, fmt.Errorf("reading %s: %w", path, err)
		}
		loader = strings.TrimRight(string(text), "\x00")
	}
	needs, err = f.ImportedLibraries()
	return loader, needs, err
}

// find is the regular file, or what a link leads to, of a name in a package.
func (b *builder) find(pkg, name string) (string, error) {
	dir, err := b.unpack(pkg)
	if err != nil {
		return "", err
	}
	found := ""
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && d.Type().IsRegular() && (filepath.Ext(p) != "" || filepath.Base(filepath.Dir(p)) == "bin") {
			found = p
		}
		return err
	})
	if err == nil && found == "" {
		err = fmt.Errorf("package %s has no file %s", pkg, name)
	}
	return found, err
}

func (b *builder) busybox() (images.Image, error) {
	t := baseTree()
	if err := b.addBusybox(t); err != nil {
		return images.Image{}, err
	}
	return images.Image{Ref: registry + "busybox:v1", Tree: t, Config: ocispec.ImageConfig{Cmd: []string{"sh"}, Env: []string{searchPath}}}, nil
}

// nginxPackages are nginx and every shared library it needs on Debian 12.
var nginxPackages = []string{"nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"}

// The server answers on 80 with its version and its pod's name, so that a
// rolling update can be seen from outside.
const nginxConf = `daemon off;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
env HOSTNAME;
events { worker_connections 512; }
http {
  include mime.types;
  access_log /dev/stdout;
  server_tokens off;
  server {
    listen 80;
    add_header X-Version %[1]s always;
    add_header X-Pod $hostname always;
    root /usr/share/nginx/html;
    location = /healthz { return 200 "ok\n"; }
  }
}
`

// nginx quits gracefully at SIGQUIT, which the image asks for.
func (b *builder) nginx(version string) (images.Image, error) {
	t := baseTree()
	for _, pkg := range nginxPackages {
		dir, err := b.unpack(pkg)
		if err != nil {
			return images.Image{}, err
		}
		// The host's /lib and /sbin are links into /usr: keep the layout flat.
		for _, sub := range []string{"lib", "lib64", "usr/lib", "usr/lib64", "usr/sbin", "etc/nginx"} {
			from := filepath.Join(dir, sub)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			if err := t.AddDir("/"+sub, from); err != nil {
				return images.Image{}, err
			}
		}
	}
	if err := b.addBusybox(t); err != nil {
		return images.Image{}, err
	}
	for _, d := range []string{"/run", "/var/log/nginx", "/var/lib/nginx"} {
		t.Add(d, images.Node{Dir: true, Mode: 0o755})
	}
	t.Add("/etc/nginx/nginx.conf", images.Node{Mode: 0o644, Data: fmt.Appendf(nil, nginxConf, version)})
	t.Add("/usr/share/nginx/html/index.html", images.Node{Mode: 0o644, Data: fmt.Appendf(nil, "<h1>Welcome to nginx on Hyperkube</h1>\n<p>version %s</p>\n", version)})
	return images.Image{Ref: registry + "nginx:" + version, Tree: t, Config: ocispec.ImageConfig{
		Entrypoint: []string{"/usr/sbin/nginx"}, Env: []string{searchPath}, StopSignal: "SIGQUIT",
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}}, nil
}

func (b *builder) netTool() (images.Image, error) {
	t := baseTree()
	if err := b.addBusybox(t); err != nil {
		return images.Image{}, err
	}
	t.Add("/nettool", images.Node{Mode: 0o755, Source: b.nettool})
	return images.Image{Ref: registry + "nettool:v1", Tree: t, Config: ocispec.ImageConfig{Entrypoint: []string{"/nettool"}, Env: []string{searchPath}}}, nil
}
