// Package bounds is the one place that says how far an input may grow: bytes after
// expansion, items, copies, nesting, the size of a plan that a number in a spec asks for.
// Whoever decodes, expands, copies, recurses or plans by what came from outside takes its
// limit from here; nothing may loop or recurse on outside input without one. The files are
// by where the input arrives: request.go (API requests), plan.go (controllers and the
// scheduler), node.go (kubelet, runtime, network).
package bounds
