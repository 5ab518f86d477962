package bounds

import "time"

// What one watch of the store may keep for a reader that does not take it.
const (
	// WatchEvents and WatchBytes (as stored) may wait for a reader; one more ends
	// the watch.
	WatchEvents = 8192
	WatchBytes  = 16 << 20
	// WatchStall is how long events may wait for a reader that takes nothing.
	WatchStall = 15 * time.Second
	// HistoryBytes is how much of what was replaced or deleted (as stored) a
	// resource keeps for watches that resume.
	HistoryBytes = 64 << 20
)
