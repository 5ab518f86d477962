package bounds

// What who may do, and who is spoken to, may take.
const (
	// Kubelets is to how many nodes' kubelets the API server keeps connections ready.
	Kubelets = 1024
)
