package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestForeignFolders: a folder without our marker is neither started in nor removed,
// however its files are called.
func TestForeignFolders(t *testing.T) {
	for _, files := range [][]string{
		{"log/mail.log"}, {"lock"}, {"run/x.pid"}, {"lost+found/x", "log/a"}, {"thesis.txt"}, {"etcd/member/snap/db"}, {"pki/ca.key"}, {".hyperkube"},
		{"cluster.json"}, {"cluster.json=[]"}, {`cluster.json={"bridge":"br0","peers":[]}`}, {markerName + "={}"}, {markerName + "=garbage"},
	} {
		dir := t.TempDir()
		for _, f := range files {
			name, text, _ := strings.Cut(f, "=")
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		o := Default()
		o.DataDir, o.NodeName, o.NodeIP = dir, "n1", "192.0.2.10"
		if err := o.check(); err == nil {
			t.Errorf("%q: a start is not refused", files)
		}
		if l, _, err := enter(dir); err == nil {
			l.Close()
			t.Errorf("%q: it was made a cluster's", files)
		}
		if _, err := Reset(t.Context(), dir, func(string, time.Duration) {}); err == nil {
			t.Errorf("%q: reset is not refused", files)
		}
		for _, f := range files {
			name, _, _ := strings.Cut(f, "=")
			if !present(filepath.Join(dir, name)) {
				t.Errorf("%q: %s is gone", files, name)
			}
		}
		if found, _ := os.ReadDir(dir); len(found) != len(files) && len(files) == 1 {
			t.Errorf("%q: left behind %v", files, found)
		}
	}
}

// TestRemoveMarked: what the marker names goes, what others put there stays and is told.
func TestRemoveMarked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, _, err := enter(dir)
	must(t, err)
	defer l.Close()
	for _, f := range []string{"etcd/member/snap/db", "log/pods/x", "pki/ca.key", "admin.conf", ".cluster.json.123", "mine/backup.db", "notes.txt"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, f), nil, 0o600))
	}
	kept, err := removeMarked(dir)
	if err != nil || !slices.Equal(kept, []string{"mine", "notes.txt"}) {
		t.Errorf("kept %v, %v", kept, err)
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 2 {
		t.Errorf("left %v, %v", found, err)
	}
	if _, err := checkOurs(dir); err == nil {
		t.Error("what is left still counts as a cluster's")
	}
	must(t, os.RemoveAll(filepath.Join(dir, "mine")))
	must(t, os.Remove(filepath.Join(dir, "notes.txt")))
	again, _, err := enter(dir)
	must(t, err)
	defer again.Close()
	if kept, err := removeMarked(dir); err != nil || len(kept) > 0 || present(dir) {
		t.Errorf("a folder with nothing else: kept %v, %v", kept, err)
	}
}

// TestResetCutOff: what a reset that was killed has left is not taken for a cluster that has
// lost something; while one is at work, a start waits for it.
func TestResetCutOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, _, err := enter(dir)
	must(t, err)
	for _, f := range []string{"etcd/member/snap/db", "network", "pki/ca.key"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, f), nil, 0o600))
	}
	noteReset(t, dir)
	if _, _, err := enter(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("a start beside a reset at work: %v", err)
	}
	must(t, l.Close())
	if _, _, err := enter(dir); err == nil || !strings.Contains(err.Error(), "hyperkube reset") || strings.Contains(err.Error(), "backup") {
		t.Errorf("a start after a reset that was cut off: %v", err)
	}
	must(t, Identity{}.write(dir))
	if s, err := GetStatus(t.Context(), dir); err != nil || len(s.Parts) != 1 || !strings.Contains(s.Parts[0].Detail, "hyperkube reset") {
		t.Errorf("status: %+v, %v", s, err)
	}
	if busy, err := held(PathsOf(dir).Lock); busy || err != nil {
		t.Errorf("the refusal holds the lock: %t, %v", busy, err)
	}
	if _, err := removeMarked(dir); err != nil || present(dir) {
		t.Fatalf("the reset again: %v", err)
	}
	l, _, err = enter(dir)
	must(t, err)
	must(t, l.Close())
}

// noteReset does what a reset does before it removes the first file.
func noteReset(t *testing.T, dir string) {
	t.Helper()
	m, err := readMarker(dir)
	must(t, err)
	must(t, m.noteReset(dir))
}

// TestMarkerNamesNothingOutside: a marker that was tampered with cannot reach elsewhere.
func TestMarkerNamesNothingOutside(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "data")
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(top, "victim"), nil, 0o600))
	m := &Marker{Note: markerNote, Entries: []string{"../victim", "..", ".", "", "a/../../victim"}}
	must(t, m.write(dir))
	if _, err := removeMarked(dir); err != nil || !present(filepath.Join(top, "victim")) {
		t.Errorf("reached outside: %v", err)
	}
}

// TestEntriesAreComplete: every path of a cluster lies in an entry that reset removes.
func TestEntriesAreComplete(t *testing.T) {
	p := PathsOf("/d")
	for _, path := range []string{p.PKI, p.Etcd, p.Containerd, p.Kubelet, p.PodLogs, p.CNIConf, p.CNIState, p.Libexec, p.Network, p.Lock, p.Identity, p.Log, p.Kubeconfig, p.Audit, p.EncryptionConfig} {
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/d/"), "/")
		if !slices.Contains(entries(), first) {
			t.Errorf("%s is in no entry", path)
		}
	}
}

// TestTwoStarts: of many that find an empty folder one gets it, and all see one marker.
func TestTwoStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	var locks []*os.File
	ids := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			l, m, err := enter(dir)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				locks = append(locks, l)
			} else if !errors.Is(err, ErrRunning) {
				t.Error(err)
			}
			if m != nil {
				ids[m.Cluster]++
			}
		})
	}
	wg.Wait()
	if len(locks) != 1 || len(ids) != 1 {
		t.Errorf("%d hold the lock, identities %v", len(locks), ids)
	}
	for _, l := range locks {
		l.Close()
	}
}

// TestResetAndStart: one that starts while another removes finds either a cluster or nothing.
func TestResetAndStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for range 200 {
		l, _, err := enter(dir)
		must(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := removeMarked(dir); err != nil {
				t.Error(err)
			}
			l.Close()
		})
		wg.Go(func() {
			l, _, err := enter(dir)
			if errors.Is(err, ErrRunning) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := readMarker(dir); err != nil {
				t.Error("started in a folder that is no cluster's:", err)
			}
			l.Close()
		})
		wg.Wait()
		if t.Failed() {
			return
		}
	}
}
