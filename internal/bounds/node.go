package bounds

// What a pod may make of a node's processes.
const (
	// Environment is how many bytes the environment of a container may have after its
	// references are expanded: what the kernel takes of arguments and environment.
	Environment = 2 << 20
)
