package bounds

// What one look of a controller may plan.
const (
	// Batch is how many objects one reconcile creates or deletes, whatever the spec asks
	// for; the rest follows with the next ones (the published burst of 500).
	Batch = 500
)
