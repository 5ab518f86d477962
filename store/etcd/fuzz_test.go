package etcd

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// FuzzReadLog: whatever lies in a log file is read or refused, in bounded memory.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte{})
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<40))
	f.Add([]byte("\x08\x00\x00\x00\x00\x00\x00\x84\x08\x04\x10\x00\x1a\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "0000000000000000-0000000000000000.wal")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = guarded(func() error {
			_, err := readLog([]string{path})
			return err
		})
	})
}

// FuzzReadDatabase: whatever lies in the database file is read or refused; no
// page of it ends the process.
func FuzzReadDatabase(f *testing.F) {
	f.Add(uint32(0), []byte("garbage"))
	f.Add(uint32(4096*3), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(4096*2+16), []byte{4, 0, 1, 0})
	whole, err := os.ReadFile(filepath.Join(fuzzDir(f), "member", "snap", "db"))
	if err != nil {
		f.Fatal(err)
	}
	whole = whole[:min(len(whole), 128<<10)]
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		data := append([]byte(nil), whole...)
		copy(data[int(at)%len(data):], patch)
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = guarded(func() error {
			_, err := readDatabase(path)
			return err
		})
	})
}

// fuzzDir is the data directory of a member that ran.
func fuzzDir(f *testing.F) string {
	f.Helper()
	dir := f.TempDir()
	s, err := Start(f.Context(), Config{Dir: dir, Ephemeral: true})
	if err != nil {
		f.Fatal(err)
	}
	s.Stop()
	return dir
}
