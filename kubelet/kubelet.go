// Package kubelet runs the pods of one node on a container runtime that speaks CRI v1, and tells the API server.
//
//	API pods ─┐                        ┌─▶ steps (cgroup, volumes, sandbox, containers) ─▶ CRI
//	manifests ┴▶ podworker (one a pod) ┼─▶ status ─▶ API
//	CRI events ─▶      ▲               └─▶ events ─▶ API
//	probes ────────────┘
//	node: registration, status, lease        server: logs, exec, attach, port-forward, metrics on 10250
//	logs: rotation                           objects: config maps and secrets that pods refer to
//
// A kubelet that ends leaves containers alone; the next one takes them over from what the runtime and the API know.
package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet/admit"
	"hyperkube/kubelet/cgroup"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/evict"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/lifecycle"
	"hyperkube/kubelet/logs"
	"hyperkube/kubelet/node"
	"hyperkube/kubelet/objects"
	"hyperkube/kubelet/podworker"
	"hyperkube/kubelet/probe"
	"hyperkube/kubelet/server"
	"hyperkube/kubelet/status"
	"hyperkube/kubelet/steps"
	"hyperkube/kubelet/userns"
	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/all"
	"hyperkube/kubelet/volume/emptydir"
	"hyperkube/kubelet/volume/mount"
)

// Kubelet is one node's agent.
type Kubelet struct {
	o        Options
	client   *cri.Client
	cgroups  *cgroup.Tree
	images   *images.Puller
	volumes  *volume.Manager
	users    *userns.Ranges
	agent    *node.Agent
	statuses *status.Manager
	rotator  *logs.Rotator
	guard    *evict.Guard
	metrics  *metrics
	failures *prometheus.CounterVec
	host     admit.Host
	events   *kit.Events // nil when the recorder is the caller's

	pods     *kit.Informer[*v1.Pod]
	nodes    *kit.Informer[*v1.Node]
	services *kit.Informer[*v1.Service]

	ready chan struct{}

	// Set by Run.
	fatal   func(error) // ends the kubelet, not its process
	objects *objects.Cache
	workers *podworker.Manager

	burstable int64 // weight of that class; of the pods' handler only
}

// New checks the options and connects to nothing yet.
func New(o Options) (*Kubelet, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	failures := trouble.Metric(o.Registry)
	k := &Kubelet{o: o, ready: make(chan struct{}), statuses: status.NewManager(o.Kube, o.Log, failures), metrics: newMetrics(o.Registry), failures: failures,
		rotator: logs.NewRotator(o.ContainerLogMaxSize, o.ContainerLogMaxFile), guard: evict.New()}
	var err error
	if k.client, err = cri.Dial(o.RuntimeEndpoint, o.ImageEndpoint, k.metrics.called); err != nil {
		return nil, err
	}
	if !o.NoCgroups {
		if k.cgroups, err = cgroup.New(o.CgroupFS, o.CgroupRoot); err != nil {
			return nil, err
		}
	}
	if k.o.Recorder == nil {
		k.events = kit.NewEvents(o.Kube, o.Log, kit.Failures(failures))
		k.o.Recorder = k.events.RecorderOn("kubelet", o.NodeName)
	}
	if len(k.o.NodeIPs) == 0 {
		if k.o.NodeIPs, err = node.Addresses(); err != nil {
			return nil, err
		}
	}
	k.images = images.NewPuller(k.client, o.ParallelPulls, k.Secret)
	k.images.Here = o.ImagesHere
	k.volumes = volume.NewManager(k.o.RootDir, all.Kinds(k, k.volumeImage))
	k.users = userns.New(k.volumes.PodsDir())
	if k.agent, err = node.New(k.nodeOptions()); err != nil {
		return nil, err
	}
	k.host.Listeners = o.Listeners
	if k.host.Sysctls, err = admit.NewSysctls(k.agent.Machine().Kernel, o.UnsafeSysctls); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	if k.o.SandboxNetworkOK == nil {
		k.o.SandboxNetworkOK = (&namespaces{client: k.client, paths: map[string]string{}}).ok
	}
	core := v1.SchemeGroupVersion
	k.pods = kit.Filtered[*v1.Pod](o.Informers, core.WithResource("pods"), kit.SourceOptions{FieldSelector: "spec.nodeName=" + k.o.NodeName})
	k.nodes = kit.Filtered[*v1.Node](o.Informers, core.WithResource("nodes"), kit.SourceOptions{FieldSelector: "metadata.name=" + k.o.NodeName})
	k.services = kit.InformerFor[*v1.Service](o.Informers, core.WithResource("services"))
	return k, nil
}

// Ready is closed when the kubelet has taken over what runs and serves pods.
func (k *Kubelet) Ready() <-chan struct{} { return k.ready }

// Run works until ctx ends and returns when all its goroutines have. Containers go on.
func (k *Kubelet) Run(ctx context.Context) error {
	parts := supervise.NewParts(ctx)
	defer parts.Stop()
	ctx = parts.Context()
	if err := k.prepare(); err != nil {
		return err
	}
	defer k.client.Close()
	k.objects = objects.New(ctx, k.o.Informers.Source(), k.o.Log, func(pods []types.UID) { k.workers.Touch(pods) })
	armed := appArmor()
	k.workers = podworker.NewManager(ctx, k.deps(), func(pod *v1.Pod, here []*v1.Pod) *status.Final {
		if final := admit.Machine(pod, k.agent.Node(), armed); final != nil {
			return final
		}
		return admit.Pod(pod, here, k.agent.Node(), k.host)
	})
	var serve func(context.Context) error
	if k.o.Port > 0 {
		srv, err := k.server()
		if err != nil {
			return err
		}
		serve = srv.Run
	}
	k.fatal = func(err error) { parts.Fail("kubelet", err) }
	if k.events != nil {
		parts.Lasts("kubelet events", k.events.Run)
	}
	parts.Lasts("kubelet node", k.agent.Run)
	parts.Lasts("kubelet runtime", k.watchRuntime)
	parts.Lasts("kubelet log rotation", k.rotate)
	parts.Lasts("kubelet eviction", k.evict)
	parts.Lasts("kubelet housekeeping", k.housekeep)
	parts.Lasts("kubelet pods' networks", k.watchNetworks)
	if serve != nil {
		parts.Lasts("kubelet server", serve)
	}
	first := parts.Wait()
	k.workers.Wait()
	k.statuses.Wait()
	k.objects.Wait()
	return first
}

// prepare makes the directories and the top of the cgroup tree.
func (k *Kubelet) prepare() error {
	for _, dir := range []string{k.volumes.PodsDir(), k.o.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("kubelet: %w", err)
		}
	}
	if k.o.LogLinkDir != "" {
		if err := os.MkdirAll(k.o.LogLinkDir, 0o755); err != nil {
			return fmt.Errorf("kubelet: %w", err)
		}
	}
	if err := os.Chmod(k.o.RootDir, 0o750); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	if err := mount.Share(k.o.RootDir); err != nil {
		return fmt.Errorf("kubelet: root directory: %w", err)
	}
	if k.cgroups == nil {
		return nil
	}
	return k.cgroups.EnsureRoot(allPods(k.agent.Allocatable(), node.Processes("/")))
}

// allPods is what all pods together may use of a node on a machine of so many processes.
func allPods(a v1.ResourceList, processes int64) cgroup.Limits {
	return cgroup.Limits{
		CPUShares: cri.CPUShares(a.Cpu().MilliValue()),
		Memory:    a.Memory().Value() + memorySlack,
		PIDs:      processes - processes/bounds.SystemProcesses,
	}
}

// memorySlack is what eviction keeps free of pods' memory; the kernel's limit leaves it to eviction.
const memorySlack = 100 << 20

func (k *Kubelet) deps() *podworker.Deps {
	hooks := lifecycle.Runner{Exec: k.client}
	d := &steps.Deps{
		Client: k.client, Renderer: k.renderer(), Volumes: k.volumes, Sources: k, Cgroups: k.cgroups, Hooks: hooks,
		Services: k.servicesOf, ContainerLn: k.o.LogLinkDir, PIDsLimit: k.o.PodPIDs, Handlers: k.handler,
		Features: k.features, Users: k.users, ImagesHere: k.o.ImagesHere,
	}
	return &podworker.Deps{
		Client: k.client, Pod: steps.All(d), Containers: steps.Containers(d), Resizer: steps.NewResizer(d),
		Images:  k.images,
		Volumes: k.volumes, Prober: &probe.Prober{Exec: k.client}, Hooks: hooks, Statuses: k.statuses,
		Recorder: k.o.Recorder, Log: k.o.Log, Failures: k.failures, LogRoot: k.o.LogDir, LogLinks: k.o.LogLinkDir,
		HostIPs: func() []string { return k.o.NodeIPs }, DeletePod: k.deletePod,
		Fits: func(pod *v1.Pod, others []*v1.Pod) (string, string) { return admit.Resize(pod, others, k.agent.Node()) }, Observe: k.metrics.observer(k.appeared),
	}
}

func (k *Kubelet) renderer() *cri.Renderer {
	host, err := cri.ReadResolvConf(k.o.ResolvConf)
	if err != nil {
		k.o.Log.Warn("reading the host's resolver configuration", "err", err)
	}
	r := &cri.Renderer{
		DNS:     cri.DNS{Servers: k.o.ClusterDNS, Domain: k.o.Domain, Host: host},
		LogRoot: k.o.LogDir, SeccompRoot: k.o.RootDir + "/seccomp", SeccompDefault: !k.o.SeccompUnconfined, SandboxSeccomp: k.o.SandboxSeccomp,
		MemoryCapacity: k.agent.Machine().Memory, CgroupParent: func(*v1.Pod) string { return "" },
		UserNS: k.users.Of,
	}
	if k.cgroups != nil {
		r.CgroupParent, r.UnifiedCgroups = k.cgroups.PodParent, k.cgroups.Unified()
	}
	return r
}

func (k *Kubelet) rotate(ctx context.Context) error {
	k.rotator.Log, k.rotator.Failures, k.rotator.Reopen, k.rotator.Files = k.o.Log, k.failures, k.client.ReopenLog, k.logFiles
	return k.rotator.Run(ctx)
}

func (k *Kubelet) evict(ctx context.Context) error {
	k.guard.Pods, k.guard.Log, k.guard.Failures = k.workers.Pods, k.o.Log, k.failures
	k.guard.Dir = func(pod *v1.Pod, name string) string {
		return k.volumes.VolumeDir(string(pod.UID), emptydir.Kind{}, name)
	}
	k.guard.Logs = func(pod *v1.Pod, container string) string {
		return filepath.Join(cri.PodLogDir(k.o.LogDir, pod), container)
	}
	k.guard.Files = func(pod *v1.Pod, container string) []string {
		if container == "" {
			return []string{steps.HostsFile(k.volumes, pod)}
		}
		return []string{steps.WordsDir(k.volumes, pod, container)}
	}
	k.guard.Layers = k.layers
	k.guard.Evict = func(pod *v1.Pod, message string) {
		k.workers.Stop(pod.UID, status.Final{Phase: v1.PodFailed, Reason: evict.Reason, Message: message}, evictGrace)
	}
	return k.guard.Run(ctx)
}

// evictGrace is what a pod gets that takes more than its share of the disk.
const evictGrace = time.Second

// logFiles lists the logs of running containers.
func (k *Kubelet) logFiles() []logs.File {
	var out []logs.File
	for _, s := range k.workers.States() {
		for _, c := range s.Runtime.Containers {
			if podworker.Running(c) && c.LogPath != "" {
				out = append(out, logs.File{ID: c.Id, Path: c.LogPath})
			}
		}
	}
	return out
}

func (k *Kubelet) server() (*server.Server, error) {
	return server.New(server.Options{
		Address: k.o.Address, Port: k.o.Port, TLS: k.o.TLS, Auth: k.o.Auth, Kube: k.o.Kube, NodeName: k.o.NodeName,
		Pods: k.workers, Client: k.client, LogRoot: k.o.LogDir, Registry: k.o.Registry, Log: k.o.Log,
		Config: k.configz(), Probes: k.metrics.probes,
	})
}

func (k *Kubelet) nodeOptions() node.Options {
	return node.Options{
		Name: k.o.NodeName, Kube: k.o.Kube, Recorder: k.o.Recorder, Log: k.o.Log, Failures: k.failures, Register: !k.o.NoRegister,
		Labels: k.o.Labels, Taints: k.o.Taints, ProviderID: k.o.ProviderID, Port: int32(max(k.o.Port, 0)), Version: Version,
		IPs: k.o.NodeIPs, RootDir: k.o.RootDir, MaxPods: k.o.MaxPods, Reserved: k.o.Reserved,
		Runtime: k.runtimeState, Images: k.nodeImages,
	}
}
