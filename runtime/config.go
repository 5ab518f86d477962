package runtime

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"hyperkube/internal/bounds"
	"hyperkube/internal/regular"
)

// Config is where containerd keeps its things and what it runs. All paths absolute.
type Config struct {
	Root       string // persistent: content, snapshots, metadata
	State      string // gone at reboot: tasks, sockets of shims; at most maxState bytes
	Socket     string // CRI and containerd API, a unix socket
	Libexec    string // runc and the shim
	CNIBinDir  string
	CNIConfDir string
	PauseImage string
	CgroupRoot string // where shims are put; empty leaves them beside containerd
	// RegistryConfigDir holds hosts.toml files for mirrors; may be absent.
	RegistryConfigDir string
	LogLevel          string // trace, debug, info, warn, error
}

// runc's state sits below State, so that two clusters on a host never share it. Without its
// CRI containerd is of no use and must not run: it is not loaded again later. What was pulled
// is on disk before it counts as pulled, which only the local way of pulling can do.
var configTOML = template.Must(template.New("config.toml").Parse(`version = 4
root = {{printf "%q" .Root}}
state = {{printf "%q" .State}}
oom_score = 0
required_plugins = ["io.containerd.grpc.v1.cri"]

[debug]
  level = {{printf "%q" .LogLevel}}
  format = "json"

[plugins."io.containerd.server.v1.grpc"]
  address = {{printf "%q" .Socket}}
  max_send_message_size = {{.MessageBytes}}

[plugins."io.containerd.server.v1.ttrpc"]
  address = {{printf "%q" (printf "%s.ttrpc" .Socket)}}

[plugins."io.containerd.shim.v1.manager"]
  socket_dir = {{printf "%q" .ShimSockets}}

[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "10s"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  discard_unpacked_layers = false
  stats_collect_period = 60
  use_local_image_pull = true
  image_pull_with_sync_fs = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = {{printf "%q" .PauseImage}}
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = {{printf "%q" .RegistryConfigDir}}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {{.RestrictOOM}}
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  netns_mounts_under_state_dir = true
  stats_collect_period = "60s"
  enable_criu = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [{{printf "%q" .CNIBinDir}}]
    conf_dir = {{printf "%q" .CNIConfDir}}
    max_conf_num = 1
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = {{printf "%q" .Shim}}
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = {{printf "%q" .Runc}}
        Root = {{printf "%q" .RuncRoot}}
        ShimCgroup = {{printf "%q" .CgroupRoot}}
        SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
`))

const (
	// maxSocket is how long a unix socket's path may be.
	maxSocket = 107
	// maxState leaves room for a shim's socket below it: "/s/" and a hash.
	maxState = maxSocket - len("/s/") - 64
)

// Check refuses paths at which no socket can be made.
func (c Config) Check() error {
	if len(c.State) > maxState {
		return fmt.Errorf("containerd's state directory %s has %d bytes: %d are the most, as shims have sockets in it", c.State, len(c.State), maxState)
	}
	if most := maxSocket - len(".ttrpc"); len(c.Socket) > most {
		return fmt.Errorf("containerd's socket %s has %d bytes: %d are the most", c.Socket, len(c.Socket), most)
	}
	return nil
}

// render is config.toml for c. restrictOOM is set where the host refuses to
// lower oom_score_adj.
func render(c Config, restrictOOM bool) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.LogLevel == "" {
		c.LogLevel = "warn"
	}
	var b bytes.Buffer
	err := configTOML.Execute(&b, struct {
		Config
		RestrictOOM                       bool
		Shim, Runc, RuncRoot, ShimSockets string
		MessageBytes                      int
	}{
		c, restrictOOM,
		filepath.Join(c.Libexec, "containerd-shim-runc-v2"),
		filepath.Join(c.Libexec, "runc"),
		filepath.Join(c.State, "runc"),
		filepath.Join(c.State, "s"),
		bounds.RuntimeMessage,
	})
	if err != nil {
		return nil, fmt.Errorf("rendering containerd's configuration: %w", err)
	}
	return b.Bytes(), nil
}

// WriteConfig writes config.toml below Root's parent and returns its path.
func WriteConfig(c Config, path string) error {
	b, err := render(c, !mayLowerOOMScore())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing containerd's configuration: %w", err)
	}
	if err := regular.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("writing containerd's configuration: %w", err)
	}
	return nil
}
