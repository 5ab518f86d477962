package bounds

// What a pod may make of a node's processes.
const (
	// PodProcesses is how many processes and threads a pod of `hyperkube up` may have: the
	// control plane takes its own from the same number. A kubelet by itself has no limit
	// (--pod-max-pids), as is standard.
	PodProcesses = 4096
	// SystemProcesses is the part of a machine's processes and threads, one in so many, that
	// all pods together leave to everything else: without any left no container is started
	// or stopped, and nobody logs in.
	SystemProcesses = 4
	// Environment is how many bytes the environment of a container may have after its
	// references are expanded: what the kernel takes of arguments and environment.
	Environment = 2 << 20
	// EnvFile is how large a file may be that a container's variables are read from.
	EnvFile = 64 << 10
	// Path is how many bytes a path inside a volume may have (the kernel's PATH_MAX), and
	// PathElements how many directories deep it may lead.
	Path         = 4096
	PathElements = 1024
	// PodFiles is how many bytes the config maps, secrets, tokens and downward API files of
	// one pod's volumes may have together, written out, and PodFileCount how many they may be.
	PodFiles     = 64 << 20
	PodFileCount = 1 << 16
	// PodVolumes is how many volumes a pod, and mounts a container may have on a node: each is
	// one of the kernel's mounts, which all pods share.
	PodVolumes = 1024
	// PodMemoryVolumes is how many of them may lie in memory (secrets, projected volumes, emptyDirs
	// of medium Memory): each is a mount of the node's for as long as the pod is there, which every
	// container that starts copies. With 110 such pods a start takes some twenty seconds.
	PodMemoryVolumes = 200
	// SubPaths is how many volume mounts with a subPath all containers of a pod may have together:
	// each is a mount of the node until its container has started, and every container that starts
	// meanwhile, of whatever pod, takes all of those with it.
	// SubPathsAtOnce is how many such mounts there are for all containers that start at once; the others wait.
	SubPaths       = 1024
	SubPathsAtOnce = 1024
	// SandboxLabels and SandboxAnnotations are how many bytes of a pod's own the container runtime is told. Its lists
	// hold those of every pod of the node, ended ones too, and must fit in one message, commonly of 16 MiB: one that
	// does not is no list at all, and a node that cannot list takes in no pod.
	// RuntimeMessage is how large a message may be that our own runtime sends and that is taken from any.
	SandboxLabels      = 4 << 10
	SandboxAnnotations = 8 << 10
	RuntimeMessage     = 64 << 20
	// References is how many config maps and secrets of one pod are watched.
	References = 1024
	// Volumes is how many volumes of one pod are prepared side by side.
	Volumes = 16
	// LogEntry is how long one line of a log file may be; runtimes write 16 KiB and mark the
	// rest as parts. What is longer is cut.
	LogEntry = 256 << 10
	// Output is how much is kept of what a probe or a hook says (the published 10 KiB), and
	// Headers how many bytes of headers its answer may have.
	Output  = 10 << 10
	Headers = 1 << 20
	// Messages is how many bytes the termination messages of a pod's containers have together
	// in its status (the published 12 KiB), and so have those that say what they wait for.
	Messages = 12 << 10
	// StatusMounts is how many bytes the paths of all volume mounts of a pod may have for its
	// status to repeat them: the object, which holds them already, has an end.
	StatusMounts = 256 << 10
	// EventText is how many bytes of a message an event tells.
	EventText = 4 << 10
	// Ports is how many of the ports that a container or its image claims to listen on are
	// believed.
	Ports = 64
	// SlowPulls is how many pulls that take long a node has under way, beside those that have
	// just begun.
	SlowPulls = 64
	// Credentials is how many credentials are tried for one pull.
	Credentials = 32
	// Links is how many files with several names are remembered while a directory is measured;
	// beyond, each name counts.
	Links = 1 << 20
	// Descriptors is how many open files of pods in the node's network are looked at to tell whose a port is, which
	// takes a second or two: a hundred such pods have some ten thousand.
	// PodDescriptors is the same for all pods, when the container runtime cannot start for want of inotify instances.
	Descriptors    = 1 << 20
	PodDescriptors = 4 << 20
)
