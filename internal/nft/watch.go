package nft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher hears of changes to a table from the moment it is made.
type Watcher struct {
	kernel *Kernel
	sock   *socket
}

// NewWatcher begins to listen, in the namespace of the calling thread.
func (k *Kernel) NewWatcher() (*Watcher, error) {
	s, err := openSocket(unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, err
	}
	return &Watcher{k, s}, nil
}

// Close ends a watcher that was not run.
func (w *Watcher) Close() error { return w.sock.file.Close() }

// Run calls changed, possibly often, when somebody other than w's Kernel changes its
// table, and when notifications may have been lost. It returns when ctx is done and
// closes the watcher.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	s := w.sock
	defer s.file.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		foreign := false
		err := s.receive(func(m message) error {
			foreign = foreign || w.kernel.isForeign(m)
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			foreign = true
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("watching nftables: %w", err)
		}
		if foreign {
			changed()
		}
	}
}

// isForeign reports whether a notification tells of a change to our table that we
// did not make. Elements come and go by packets in dynamic sets, so only their
// deletion by a message counts, which is not told apart: other objects are enough to
// notice a flush.
func (k *Kernel) isForeign(m message) bool {
	if m.from == k.sock.id || m.typ>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.data) < 4 {
		return false
	}
	switch m.typ & 0xff {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE,
		unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM, unix.NFT_MSG_NEWSETELEM:
	default:
		return false
	}
	if m.data[0] != byte(k.table.Family) {
		return false
	}
	ours := false
	attributes(m.data[4:], func(t uint16, d []byte) {
		if t == unix.NFTA_TABLE_NAME { // attribute 1 is the table in all of them
			ours = cString(d) == k.table.Name
		}
	})
	return ours
}
