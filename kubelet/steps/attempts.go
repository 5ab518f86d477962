package steps

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// attemptsKept is of how many attempts of a container before the newest what they wrote is kept: as many as the
// runtime keeps their containers.
const attemptsKept = 2

// forgetAttempts removes what earlier attempts of a container left in a directory of files that are called by the
// attempt, before one more begins: a container that ends again and again must not fill the disk.
func forgetAttempts(dir string, attempt uint32) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for earlier attempts: %w", err)
	}
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n+attemptsKept >= uint64(attempt) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing an earlier attempt's file: %w", err)
		}
	}
	return nil
}
