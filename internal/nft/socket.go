package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

const (
	sendBuffer = 64 << 20 // what replaces a set is one transaction
	recvBuffer = 4 << 20
)

// socket is a netfilter netlink socket of the network namespace that the calling
// thread was in when it was opened.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	id   uint32 // port id: who the kernel says made a change
	buf  []byte
}

func openSocket(group uint32) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening netlink socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "netlink")
	s := &socket{file: file, buf: make([]byte, 256<<10)}
	// Large batches need large buffers; without CAP_NET_ADMIN nothing works anyway.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, recvBuffer)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil && group != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group))
	}
	var me unix.Sockaddr
	if err == nil {
		me, err = unix.Getsockname(fd)
	}
	if err == nil {
		s.raw, err = file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setting up netlink socket: %w", err), file.Close())
	}
	s.id = me.(*unix.SockaddrNetlink).Pid
	return s, nil
}

// join begins to hear of a group's notifications; what was heard before is forgotten.
func (s *socket) join(group int) error { return s.membership(unix.NETLINK_ADD_MEMBERSHIP, group) }

// leave ends it.
func (s *socket) leave(group int) error {
	err := s.membership(unix.NETLINK_DROP_MEMBERSHIP, group)
	for { // an overflow is told once, and what is left after it
		e := s.drain(func(message) error { return nil })
		if !errors.Is(e, unix.ENOBUFS) {
			return errors.Join(err, e)
		}
	}
}

func (s *socket) membership(option, group int) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, option, group) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("listening to nftables: %w", err)
	}
	return nil
}

// transact sends a batch. The kernel has done or refused all of it when send
// returns, so the answers are those that are there already.
func (s *socket) transact(b *batch) error {
	if b.err != nil {
		return b.err
	}
	b.message(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFNL_SUBSYS_NFTABLES, nil)
	if err := s.send(b.buf); err != nil {
		return err
	}
	var first error
	err := s.drain(func(m message) error {
		if m.typ == unix.NLMSG_ERROR && len(m.data) >= 4 && first == nil {
			if code := int32(binary.NativeEndian.Uint32(m.data)); code != 0 {
				first = fmt.Errorf("message %d of %d (%s): %w", m.seq, b.seq, b.describe(m.seq), syscall.Errno(-code))
			}
		}
		return nil
	})
	return errors.Join(first, err)
}

// describe names the message that was refused.
func (b *batch) describe(seq uint32) string {
	name := ""
	_ = parseMessages(b.buf, func(m message) error {
		if m.seq == seq && len(m.data) > 4 {
			name = fmt.Sprintf("nft message %d %q", m.typ&0xff, printable(m.data[4:]))
		}
		return nil
	})
	return name
}

func printable(data []byte) string {
	var out []byte
	for _, c := range data[:min(len(data), 96)] {
		if c > 32 && c < 127 {
			out = append(out, c)
		} else if n := len(out); n > 0 && out[n-1] != ' ' {
			out = append(out, ' ')
		}
	}
	return string(out)
}

func (s *socket) send(data []byte) error {
	var err error
	if cerr := s.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return err != unix.EAGAIN
	}); cerr != nil {
		return fmt.Errorf("sending to netlink: %w", cerr)
	}
	if err != nil {
		return fmt.Errorf("sending to netlink: %w", err)
	}
	return nil
}

// drain reads what has arrived, without waiting for more.
func (s *socket) drain(each func(message) error) error {
	for {
		var n int
		var err error
		if cerr := s.raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT) }); cerr != nil {
			return fmt.Errorf("reading netlink: %w", cerr)
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("reading netlink: %w", err)
		}
		if err := parseMessages(s.buf[:n], each); err != nil {
			return err
		}
	}
}

// receive waits for one datagram.
func (s *socket) receive(each func(message) error) error {
	var n int
	var err error
	if cerr := s.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	}); cerr != nil {
		return fmt.Errorf("reading netlink: %w", cerr)
	}
	if err != nil {
		return fmt.Errorf("reading netlink: %w", err)
	}
	return parseMessages(s.buf[:n], each)
}

type message struct {
	typ, flags uint16
	seq, from  uint32
	data       []byte
}

func parseMessages(raw []byte, each func(message) error) error {
	for len(raw) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(raw))
		if n < unix.NLMSG_HDRLEN || n > len(raw) {
			return errors.New("netlink message of impossible length")
		}
		m := message{
			typ: binary.NativeEndian.Uint16(raw[4:]), flags: binary.NativeEndian.Uint16(raw[6:]),
			seq: binary.NativeEndian.Uint32(raw[8:]), from: binary.NativeEndian.Uint32(raw[12:]),
			data: raw[unix.NLMSG_HDRLEN:n],
		}
		if err := each(m); err != nil {
			return err
		}
		raw = raw[min(len(raw), padded(n)):]
	}
	return nil
}

// dump asks for all objects of a kind in the table, again when they changed meanwhile.
func (s *socket) dump(t Table, msg uint16, body func(*batch), reset func(), each func([]byte) error) error {
	_, err := dump.Whole(func() (struct{}, error) {
		reset()
		b := &batch{table: t}
		b.nft(msg, unix.NLM_F_DUMP, func() { body(b) })
		if err := s.send(b.buf); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.readDump(each)
	})
	return err
}

func (s *socket) readDump(each func([]byte) error) error {
	if err := s.file.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return fmt.Errorf("setting netlink deadline: %w", err)
	}
	done, interrupted := false, false
	var failed error
	for !done {
		if err := s.receive(func(m message) error {
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.typ == unix.NLMSG_DONE:
				done = true
			case m.typ == unix.NLMSG_ERROR && len(m.data) >= 4:
				done = true
				if code := int32(binary.NativeEndian.Uint32(m.data)); code != 0 {
					failed = syscall.Errno(-code)
				}
			case len(m.data) >= 4 && failed == nil:
				failed = each(m.data)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if interrupted {
		return netlink.ErrDumpInterrupted
	}
	return failed
}
