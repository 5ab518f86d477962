// Package core is the behaviour of the published core/v1 types: their defaults,
// validation, derived fields and printed columns.
//
//	Default<Kind>         fills in what a client left out; idempotent
//	Validate<Kind>        judges a new object, Validate<Kind>Update a change
//	<Kind>Columns, Row    what kubectl prints
//
// Contract: every function is pure. It sees the objects and at most the time,
// never a client, a clock or the store. Validation expects defaulted objects,
// never panics on any object that a decoder can produce, and reports every
// finding with the field path that a user would write. Metadata (names, labels,
// owner references) of the top-level object is judged by the server for all
// kinds alike; the metadata of an embedded template is judged here.
//
// Validation is on the path of every write, so the common correct case takes
// the short way: paths are built while descending, messages only on failure,
// and names are first matched by hand (names.go) before a regular expression
// is asked for its wording.
package core
