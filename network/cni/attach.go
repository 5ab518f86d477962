package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"hyperkube/internal/regular"
	"hyperkube/network/bridge"
	"hyperkube/network/ipam"
)

// Attachment is what is remembered of a container's interface, from before ADD does
// anything until DEL has undone all of it, in <stateDir>/attachments/<link>.json. While
// ADD works, its process holds a lock (flock) on the file: who finds it locked knows that
// the attachment is in flight, and nobody has to guess by its age.
type Attachment struct {
	Owner ipam.Owner     `json:"owner"`
	Netns string         `json:"netns"`
	Addrs []netip.Prefix `json:"addrs,omitempty"` // the pod's, with the length of their subnets
	Gates []netip.Addr   `json:"gates,omitempty"`
	MTU   int            `json:"mtu,omitempty"`
}

// Port is the attachment's link.
func (a *Attachment) Port() bridge.Port {
	return bridge.Port{Name: bridge.PortName(a.Owner.Container, a.Owner.Interface), Iface: a.Owner.Interface, MTU: a.MTU, Addrs: a.Addrs, Gates: a.Gates}
}

const attachmentSuffix = ".json"

func attachmentsDir(stateDir string) string { return filepath.Join(stateDir, "attachments") }

func attachmentFile(stateDir string, o ipam.Owner) string {
	return filepath.Join(attachmentsDir(stateDir), bridge.PortName(o.Container, o.Interface)+attachmentSuffix)
}

// ReadAttachments returns all attachments by the names of their links. Of one whose file
// cannot be read only the name is known.
func ReadAttachments(stateDir string) (map[string]*Attachment, error) {
	entries, err := os.ReadDir(attachmentsDir(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing attachments: %w", err)
	}
	out := map[string]*Attachment{}
	for _, e := range entries {
		link, ok := strings.CutSuffix(e.Name(), attachmentSuffix)
		if !ok {
			continue
		}
		a, err := readAttachment(filepath.Join(attachmentsDir(stateDir), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[link] = a
	}
	return out, nil
}

func readAttachment(path string) (*Attachment, error) {
	raw, err := regular.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading attachment: %w", err)
	}
	a := &Attachment{}
	if json.Unmarshal(raw, a) != nil {
		return &Attachment{}, nil
	}
	return a, nil
}

// mark is the locked file of an attachment.
type mark struct {
	path string
	file *os.File
}

// begin marks an attachment as in flight. The caller holds the pool's lock.
func (n *network) begin(a *Attachment) (*mark, error) {
	if err := os.MkdirAll(attachmentsDir(n.StateDir), 0o700); err != nil {
		return nil, fmt.Errorf("noting the attachment: %w", err)
	}
	m := &mark{path: attachmentFile(n.StateDir, a.Owner)}
	if busy, err := locked(m.path); err != nil || busy {
		return nil, errors.Join(err, busyError(busy))
	}
	return m, m.save(a)
}

// save writes the file anew, whole and locked from its first moment.
func (m *mark) save(a *Attachment) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding attachment: %w", err)
	}
	f, err := os.OpenFile(m.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("noting the attachment: %w", err)
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_, err = f.Write(raw)
	}
	if err == nil {
		err = os.Rename(m.path+".new", m.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("noting the attachment: %w", err), f.Close())
	}
	m.done()
	m.file = f
	return nil
}

// done lets the lock go; the file stays.
func (m *mark) done() {
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
}

// locked reports whether somebody holds the lock on an attachment's file.
func locked(path string) (bool, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the attachment: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the attachment: %w", err)
	}
	return false, nil
}

func busyError(busy bool) error {
	if !busy {
		return nil
	}
	return types.NewError(types.ErrTryAgainLater, "the interface is being added", "another process of the plugin is at work on it")
}

// awaitAdd waits until nobody adds the interface, or fails.
func (n *network) awaitAdd(o ipam.Owner) error {
	path := attachmentFile(n.StateDir, o)
	for busy := true; busy; { // ADD replaces the file once
		f, err := regular.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking at the attachment: %w", err)
		}
		if err := ipam.Lock(f); err != nil {
			return errors.Join(busyError(true), err)
		}
		_ = f.Close()
		if busy, err = locked(path); err != nil {
			return err
		}
	}
	return nil
}

// The namespaces that ADD was called with are noted in <stateDir>/netns/<name>, a symbolic
// link to the file in question, until that file is gone: the runtime that is killed at the
// wrong moment leaves it, and nothing else would tell whose it was.
func netnsDir(stateDir string) string { return filepath.Join(stateDir, "netns") }

func (n *network) noteNetns(path string) error {
	if !strings.HasPrefix(filepath.Base(path), NetnsPrefix) {
		return nil // not a file that a runtime made for one sandbox
	}
	if err := os.MkdirAll(netnsDir(n.StateDir), 0o700); err != nil {
		return fmt.Errorf("noting the namespace: %w", err)
	}
	if err := os.Symlink(path, filepath.Join(netnsDir(n.StateDir), filepath.Base(path))); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("noting the namespace: %w", err)
	}
	return nil
}

// NetnsPrefix begins the names of the files that runtimes keep sandboxes' namespaces in.
const NetnsPrefix = "cni-"

// NotedNetns returns the namespace files that ADD was called with and that may be there
// still, and forgets the others.
func NotedNetns(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(netnsDir(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		note := filepath.Join(netnsDir(stateDir), e.Name())
		path, err := os.Readlink(note)
		if err != nil || filepath.Base(path) != e.Name() || !filepath.IsAbs(path) {
			continue // not a note of ours
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return out, fmt.Errorf("forgetting a namespace: %w", err)
			}
			continue
		}
		out = append(out, path)
	}
	return out, nil
}
