package bounds

// What a cluster may take of a host's disk besides its data.
const (
	// LogBytes is how large a log of the cluster's own processes becomes before it is set
	// aside, LogsKept how many of those, compressed, are kept.
	LogBytes = 16 << 20
	LogsKept = 5
	// AuditBytes and AuditsKept are the same for the audit log.
	AuditBytes = 32 << 20
	AuditsKept = 10
	// ImageExpanded is how many bytes the files of an imported image may have, holes
	// included, and ImageFiles how many files it may have.
	ImageExpanded = 64 << 30
	ImageFiles    = 5_000_000
	// FirstStart is the room that a new cluster needs on its disk (355 MB, as measured), and
	// FirstFiles how many files.
	FirstStart = 400 << 20
	FirstFiles = 2000
	// WatchInstances is to how many inotify instances of a user the host's limit is raised:
	// 110 pods of ten containers take one each for their shims, on a host with cgroup v2.
	WatchInstances = 8192
	// PodWatches is how many a pod may hold, at most, that is not ended for it when the
	// container runtime gets none: a log shipper, or a program that reloads its files, takes
	// one to four.
	PodWatches = 8
)
