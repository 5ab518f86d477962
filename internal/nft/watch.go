package nft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Watch calls changed, possibly often, when somebody other than k changes k's table,
// and when notifications may have been lost. It returns when ctx is done.
func (k *Kernel) Watch(ctx context.Context, changed func()) error {
	s, err := openSocket(unix.NFNLGRP_NFTABLES)
	if err != nil {
		return err
	}
	defer s.file.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		foreign := false
		err := s.receive(func(m message) error {
			foreign = foreign || k.isForeign(m)
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
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE,
		unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM, unix.NFT_MSG_NEWSETELEM:
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
