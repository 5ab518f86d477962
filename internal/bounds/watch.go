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
	// WatchTurns is how many watches may deliver at the same time for each processor, those
	// of one account half of them; WatchTurn is for how long one that waits for its reader
	// counts.
	WatchTurns = 16
	WatchTurn  = 10 * time.Millisecond
	// WatchCrowd is how many watches of one namespace, queued for by one change, make its
	// writer wait for their turns, WatchPace for how long at most.
	WatchCrowd = 256
	WatchPace  = 5 * time.Second
	// HistoryBytes is how much of what was replaced or deleted (as stored) a
	// resource keeps for watches that resume, and for lists that go on.
	HistoryBytes = 64 << 20
	// PastBytes is how many bytes (as stored) a list may go through that only etcd's history
	// has, PastReads how many such lists there are at the same time: a page of 500 objects
	// that is read slowly, by somebody who paused for more than a minute.
	PastBytes = 16 << 20
	PastReads = 8
)
