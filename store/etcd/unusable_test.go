package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhoseFault: a machine that lacks something says nothing about the data, which then
// nobody is told to give up.
func TestWhoseFault(t *testing.T) {
	for _, c := range []struct {
		cause   error
		damaged bool
	}{
		{errors.New("invalid database"), true},
		{fmt.Errorf("its database is damaged: %w", errors.New("checksum error")), true},
		{fmt.Errorf("failed to open database: %w", unix.ENOMEM), false},
		{fmt.Errorf("failed to open WAL: %w", unix.EMFILE), false},
		{fmt.Errorf("failed to open WAL: %w", unix.EROFS), false},
		{fmt.Errorf("failed to create WAL: %w", unix.ENOSPC), false},
	} {
		said := (&UnusableError{Dir: "/data", Cause: c.cause}).Error()
		if !strings.Contains(said, "/data") || !strings.Contains(said, c.cause.Error()) || strings.Contains(said, "reset") != c.damaged {
			t.Errorf("%v: %s", c.cause, said)
		}
	}
}
