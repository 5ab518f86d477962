//go:build !race

package apply

// fastKinds is of how many kinds TestFastIsTheLibrary makes histories.
const fastKinds = 20
