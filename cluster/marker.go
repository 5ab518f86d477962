package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hyperkube/internal/pki"
	"hyperkube/internal/regular"
)

// Marker makes a folder a cluster's. It is the first file that is written and the last
// that is removed; a folder without it is somebody else's, whatever lies in it. It names
// what reset removes.
type Marker struct {
	Note    string   `json:"note"`
	Cluster string   `json:"cluster"` // identity of the cluster, for life
	Entries []string `json:"entries"` // what may lie in the folder and is ours
	// Reset says that a reset has begun to remove files: what is missing is not lost.
	Reset bool `json:"reset,omitempty"`
}

const (
	markerName = ".hyperkube.json"
	markerNote = "This folder is the data directory of a Hyperkube cluster; `hyperkube reset` removes the entries listed here."
)

// entries is the one list of what a cluster puts into its data directory.
func entries() []string {
	return []string{
		"admin.conf", "cluster.json", "cluster.json.new", "cni", "containerd", pki.ConfControllerManager, "etcd", "kubelet", pki.ConfKubelet, pki.ConfProxy,
		"libexec", "lock", "log", "network", "pki", pki.ConfScheduler,
	}
}

// readMarker returns fs.ErrNotExist (wrapped) where there is none.
func readMarker(dir string) (*Marker, error) {
	path := filepath.Join(dir, markerName)
	b, err := regular.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the marker: %w", err)
	}
	var m Marker
	if err := json.Unmarshal(b, &m); err != nil || m.Note != markerNote {
		return nil, fmt.Errorf("%s is not what `hyperkube up` wrote: restore it from a backup", path)
	}
	return &m, nil
}

// checkOurs refuses a folder that is not, or cannot become, a cluster's: one that others
// have put something into. It changes nothing. ours says that there is a cluster in it.
func checkOurs(dir string) (ours bool, err error) {
	_, err = readMarker(dir)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return false, fmt.Errorf("%s is not a folder: choose another --data-dir", dir)
	}
	if legacy(dir) {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the data directory: %w", err)
	}
	for _, e := range found {
		// An empty file system of its own has this folder; a marker in the making is no file yet.
		if e.Name() != "lost+found" && !strings.HasPrefix(e.Name(), "."+markerName) {
			return false, fmt.Errorf("%s holds files that are not a Hyperkube cluster's (%s): choose an empty --data-dir", dir, e.Name())
		}
	}
	return false, nil
}

// legacy recognizes a data directory without a good marker, as versions before had it, by a
// cluster.json that only they can have written.
func legacy(dir string) bool {
	f, err := regular.Open(PathsOf(dir).Identity)
	if err != nil {
		return false
	}
	defer f.Close()
	in := json.NewDecoder(f)
	in.DisallowUnknownFields()
	var id Identity
	return in.Decode(&id) == nil && id.Bridge != ""
}

// enter makes dir a cluster's, when it is not yet, and locks it. ErrRunning tells that
// another process has it.
func enter(dir string) (*os.File, *Marker, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, fmt.Errorf("making the data directory: %w", err)
		}
		leave, err := guardDir(dir)
		if errors.Is(err, errReplaced) || errors.Is(err, fs.ErrNotExist) { // by a reset that ended just now
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		defer leave()
		m, err := mark(dir)
		if err != nil {
			return nil, nil, err
		}
		l, err := lock(PathsOf(dir).Lock)
		if err == nil && m.Reset { // and nobody is at it
			return nil, nil, errors.Join(fmt.Errorf("a reset of %s %s", dir, wasCutOff(dir)), l.Close())
		}
		return l, m, err
	}
}

var errReplaced = errors.New("the folder was replaced")

// guardDir keeps others from marking or removing dir for a moment: of two that find an
// empty folder one marks it.
func guardDir(dir string) (leave func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if !sameFile(d, dir) {
		d.Close()
		return nil, errReplaced
	}
	return d.Close, nil
}

func mark(dir string) (*Marker, error) {
	if m, err := readMarker(dir); err == nil {
		return m, m.complete(dir)
	}
	if _, err := checkOurs(dir); err != nil {
		return nil, err
	}
	id, err := firstID(PathsOf(dir))
	if err != nil {
		return nil, err
	}
	m := &Marker{Note: markerNote, Cluster: id, Entries: entries()}
	return m, m.write(dir)
}

// firstID names the cluster of a folder without a marker. Before there were markers, the
// serial number of the CA was the cluster's name, which etcd's directory has noted.
func firstID(p Paths) (string, error) {
	b, err := regular.ReadFile(filepath.Join(p.Etcd, "cluster"))
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the cluster's identity: %w", err)
	}
	if b, err = regular.ReadFile(filepath.Join(p.PKI, pki.NameCA+".crt")); err == nil {
		if ca, err := pki.ParseCert(b); err == nil {
			return ca.SerialNumber.String(), nil
		}
	}
	return strings.ToLower(rand.Text()), nil
}

// complete adds what this version puts into the folder and the one before did not.
func (m *Marker) complete(dir string) error {
	before := len(m.Entries)
	for _, e := range entries() {
		if !slices.Contains(m.Entries, e) {
			m.Entries = append(m.Entries, e)
		}
	}
	if len(m.Entries) == before {
		return nil
	}
	return m.write(dir)
}

func (m *Marker) write(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("marking the data directory: %w", err)
	}
	if err := pki.WriteFile(filepath.Join(dir, markerName), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("marking the data directory: %w", err)
	}
	return nil
}
