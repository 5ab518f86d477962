package bounds

// What who may do, and who is spoken to, may take.
const (
	// Kubelets is to how many nodes' kubelets the API server keeps connections ready.
	Kubelets = 1024
)

// What one change of a namespace's labels may look at and tell.
const (
	// PodsWarnedOf is how many of a namespace's pods are checked when its pod security
	// level is raised (the published 3000).
	PodsWarnedOf = 3000
	// PodWarnings is how many different violations are then told.
	PodWarnings = 50
)
