package network

import (
	"time"

	"golang.org/x/sys/unix"
)

func timeval(t time.Time) unix.Timeval { return unix.NsecToTimeval(t.UnixNano()) }

// lutimes sets the times of a symbolic link itself.
func lutimes(path string, t unix.Timeval) error { return unix.Lutimes(path, []unix.Timeval{t, t}) }
