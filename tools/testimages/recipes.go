package main

import (
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

// addBusybox puts busybox and a link for each of its applets into t.
func (b *builder) addBusybox(t images.Tree) error {
	dir, err := b.unpack("busybox-static")
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin", "busybox")
	if _, err := os.Stat(bin); err != nil {
		bin = filepath.Join(dir, "usr", "bin", "busybox")
	}
	t.Add("/bin/busybox", images.Node{Mode: 0o755, Source: bin})
	out, err := exec.CommandContext(b.ctx, bin, "--list").Output()
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
