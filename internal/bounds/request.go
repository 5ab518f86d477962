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
	// Decoded is how many bytes of memory the decoded document may take, as far as lists,
	// maps and nested structures make it.
	Decoded = 48 << 20
	// Items is how many members all lists and maps of a document may have together.
	Items = 100_000
	// Unchecked is the size below which no document can pass Decoded or Items.
	Unchecked = 32 << 10
	// Exponent is how large the power of ten of a quantity may be, up and down.
	Exponent = 999
	// Quantity is how many bytes a quantity may have: the time to read its digits grows with
	// their square.
	Quantity = 1100
	// Copied is how many bytes the copy operations of a JSON patch may add (the published
	// limit).
	Copied = 3 << 20
	// PatchOperations is how many operations a JSON patch may have (the published limit).
	PatchOperations = 10_000
	// PatchWork is how many operations times how many bytes of the object a JSON patch may
	// have: each may move all of a list.
	PatchWork = 4 << 30
	// MergeWork is the sum of the squares of what the lists have that a strategic merge patch
	// merges, the object's elements and the patch's: one list of some 5000 in all takes seconds.
	MergeWork = 32 << 20
	// Errors is how many causes a Status lists; what is beyond is counted, not told.
	Errors = 100
	// ErrorBytes is how long the message of a Status, and its causes together, may be.
	ErrorBytes = 256 << 10
	// ErrorText is how long one text of a Status may be when not all fit.
	ErrorText = 4 << 10
	// Managers is how many entries managedFields may have: each is gone through by every write.
	Managers = 1000
	// Accept is how many bytes of a client's Accept headers are read.
	Accept = 8 << 10
	// Selector is how many bytes a label or field selector may have, Requirements how many
	// conditions. Each is asked of every object that is listed and of every change that a
	// watch may concern, while all watches of the kind wait.
	Selector     = 128 << 10
	Requirements = 100
)
