package bounds

// What one look of a controller may plan.
const (
	// Batch is how many objects one reconcile creates or deletes, whatever the spec asks
	// for; the rest follows with the next ones (the published burst of 500).
	Batch = 500
	// OwnerListings is of how many namespaces at a time the garbage collector remembers who
	// owned whom.
	OwnerListings = 32
	// Offers is how many different labels of one namespace wait to be compared with what
	// selects in it (beyond, everything that selects there is looked at), OffersCompared how
	// many are compared before it is the turn of other namespaces.
	Offers         = 1024
	OffersCompared = 16
	// Owners is how many owners an object may name for the garbage collector to look at it
	// beside others that name as many: each owner may be a request.
	Owners = 100
)

// What one pod may ask of the scheduler, for which all other pods wait meanwhile: each of
// it is compared with every node or every pod. A pod that asks for more stays pending, and
// an event says so; of one that has a node already the terms count for nobody.
const (
	// PlacementTerms is how many affinity terms and spread constraints of all sorts it may have
	// together, PlacementConditions how many labels, expressions, values and namespaces in all of them.
	PlacementTerms      = 512
	PlacementConditions = 4096
)
