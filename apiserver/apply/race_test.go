//go:build race

package apply

// fastKinds: the histories are made by one goroutine, in which the detector finds
// nothing and takes ten times as long.
const fastKinds = 4
