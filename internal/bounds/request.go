package bounds

// What one API request may bring and become.
const (
	// Body is how many bytes a request's body may have, as sent and after decompression
	// (the published limit of 3 MiB).
	Body = 3 << 20
	// Expanded is how many bytes a document may have once its aliases (YAML) or its copies
	// (JSON patch) are written out.
	Expanded = 3 << 20
	// Depth is how deep maps and lists of a document or a patch may nest.
	Depth = 512
	// PatchOperations is how many operations a JSON patch may have (the published limit).
	PatchOperations = 10_000
	// Errors is how many causes a Status lists; what is beyond is counted, not told.
	Errors = 100
)
