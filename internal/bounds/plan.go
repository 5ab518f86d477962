package bounds

// What one look of a controller may plan.
const (
	// Batch is how many objects one reconcile creates or deletes, whatever the spec asks
	// for; the rest follows with the next ones (the published burst of 500).
	Batch = 500
	// OwnerListings is of how many namespaces at a time the garbage collector remembers who
	// owned whom.
	OwnerListings = 32
)
