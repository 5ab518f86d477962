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

// What an authorization policy file may hold.
const (
	// PolicyLine is how many bytes one line may have, Policies how many there may be.
	PolicyLine = 64 << 10
	Policies   = 10_000
)

// What is asked of and remembered from an authorization webhook.
const (
	// WebhookAnswers is how many answers are remembered, WebhookQuestion of how long
	// questions at most (the published 10000 bytes), WebhookAnswer how long an answer
	// may be.
	WebhookAnswers  = 8192
	WebhookQuestion = 10_000
	WebhookAnswer   = 1 << 20
)

// What a written role or binding may grant and aggregate.
const (
	// GrantedRights is how many rights (verbs × groups × resources × names) are compared
	// with those that the author holds.
	GrantedRights = 50_000
	// AggregatedRules is how many rules all aggregated roles may gather together; roles
	// beyond it keep only their own.
	AggregatedRules = 1_000_000
	// AggregationSteps is how many times, for all of them together, a role is looked at
	// to see whether it is selected.
	AggregationSteps = 5_000_000
)

// Named is how many containers, volumes or values a refusal names; the rest is counted.
const Named = 50
