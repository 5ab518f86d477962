package bounds

import "time"

// What the requests under way may hold of the API server.
const (
	// RequestUnit is what a request is counted in: the bytes of its head, and about what a
	// request without one takes of memory. Requests is how many units all that are under way
	// may have until their answers are gone, Strangers those of nobody known; one account, or one
	// address of nobody known, has at most half.
	RequestUnit = 16 << 10
	Requests    = 1 << 14
	Strangers   = 1 << 12
	// Watches is how many units all watches of users may have, NodeWatches those of nodes and
	// those of administrators. A selector counts SelectorCost times its length.
	// An account has half of it at most, as always, and all service accounts of a namespace are
	// one: so there are WatchesPerNode more for each node of the cluster, whose number no
	// tenant has in hand. An agent on each of many nodes that watches as much as a kubelet (15)
	// is then a fourth of what its namespace has, however many nodes there are, and the agents of
	// a second and a third namespace of the kind have room beside it. The memory is that of
	// 2 MiB for each node, if all of it is ever taken.
	Watches        = 1 << 15
	WatchesPerNode = 128
	NodeWatches    = 1 << 18
	SelectorCost   = 48
	// Streams is how many connections through the server (exec, attach, port-forward, logs,
	// proxies) users may have at once; less where the process may open few files.
	Streams = 4096
	// Beginnings is how many of them may begin at the same time for one account.
	Beginnings = 16
	// BackendHead is how many bytes of headers a pod or a service that is proxied to may answer with.
	BackendHead = 256 << 10
	// IdleBackends is how many connections to pods and services wait for another request: each
	// port of a pod is another backend, and each connection one of the files of the process.
	IdleBackends = 256
	// PageToken is how long a tag or a piece of text (a script, say) of a proxied HTML page may be
	// for the links of the page to be looked at from there on: it is kept until it is complete.
	PageToken = 256 << 10
	// Frame is how large a frame of a WebSocket may be, TerminalSize how long a size of a
	// terminal as JSON.
	Frame        = 1 << 20
	TerminalSize = 4 << 10
	// DataFrame is how many bytes of a SPDY data frame are passed on at a time: who reads them
	// keeps some hundred frames of a connection. ControlFrame is how large another frame may
	// be, StreamHeaders how many headers a stream may have and StreamHeader how long one may
	// be, ResizeStreams how many streams of a connection may be for a terminal's sizes.
	DataFrame     = 4 << 10
	ControlFrame  = 16 << 10
	StreamHeaders = 64
	StreamHeader  = 4 << 10
	ResizeStreams = 16
	// Bodies is how many bodies of one account may be on their way in at the same time.
	Bodies = 100
	// BodyBytesUser is how many bytes of bodies one account's requests may hold, BodyBytesAll
	// all together but for administrators and nodes, whose requests may hold as much again.
	BodyBytesUser = 64 << 20
	BodyBytesAll  = 256 << 20
	// AuditText is how many bytes of one text of a client's (path, user agent, names) an audit
	// event repeats, AuditLine how long an event may be as it is written.
	AuditText = 4 << 10
	AuditLine = 16 << 10
	// AuditUnknown is how many bytes of audit events those may cause at once whom nobody knows,
	// AuditUnknownPerSecond how many they may go on with: they must not be able to push what
	// others did out of the files that are kept.
	AuditUnknown          = 4 << 20
	AuditUnknownPerSecond = 1 << 10
	// AuditShare is how many bytes of audit events of one sort (reads, refusals, all else) an
	// account may cause at once, AuditSharePerSecond how many it may go on with: some hundred
	// requests a second for minutes, sixty for good. With them one account takes half an hour
	// to push others out of the files that are kept. What is part of the cluster has no such
	// limit. AuditAccounts is how many accounts are told apart; those beyond share one share.
	AuditShare          = 16 << 20
	AuditSharePerSecond = 64 << 10
	AuditAccounts       = 4096
	// AuditNotes is how many annotations one audit event takes from admission.
	AuditNotes = 32
	// Resets is how many streams of one HTTP/2 connection a client may give up at once, and
	// ResetsPerSecond how many it may go on with; then the connection is ended.
	Resets          = 500
	ResetsPerSecond = 50
	// WatchPiece is how many bytes of a watch are written at once. A piece that the client
	// does not take within 10 s ends the watch.
	WatchPiece = 64 << 10
	// Warnings is how many warnings an answer bears, WarningText how many bytes one may have,
	// WarningBytes all together: clients refuse answers whose headers are too long or too many
	// (of more than a hundred, some).
	Warnings     = 64
	WarningText  = 4 << 10
	WarningBytes = 16 << 10
)

// What the ports of a process may take of the files it may open.
const (
	// Connections is how many connections a port holds at once, ConnectionPorts of how many
	// equal parts of the process's limit of open files it gets one, if that is less.
	Connections     = 1 << 16
	ConnectionPorts = 8
)

// BeginningTime is how long a connection through the server counts as one that begins.
const BeginningTime = 50 * time.Millisecond
