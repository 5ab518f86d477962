package logs

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNoWatchIsLeft: a follower that got none of the host's watches looks once a second.
func TestNoWatchIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := waitChange(t.Context(), nil); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
