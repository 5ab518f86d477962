package atomic

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir string, at int64, files map[string]string) bool {
	t.Helper()
	p := Payload{}
	for k, v := range files {
		p[k] = File{Data: []byte(v), Mode: 0o640, UID: -1}
	}
	changed, err := Write(dir, p, -1, time.Unix(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if !write(t, dir, 1, map[string]string{"a": "1", "d/b": "2", "old": "x"}) {
		t.Error("first write changes nothing")
	}
	if write(t, dir, 2, map[string]string{"a": "1", "d/b": "2", "old": "x"}) {
		t.Error("the same payload is written again")
	}
	first, _ := os.Readlink(filepath.Join(dir, "..data"))
	open, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if !write(t, dir, 3, map[string]string{"a": "new", "d/b": "2", "d/c": "3"}) {
		t.Error("a change is not seen")
	}
	if got := read(t, dir, "a") + read(t, dir, "d/b") + read(t, dir, "d/c"); got != "new23" {
		t.Errorf("content %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "old")); !os.IsNotExist(err) {
		t.Error("a removed key keeps its link")
	}
	if _, err := os.Lstat(filepath.Join(dir, first)); !os.IsNotExist(err) {
		t.Error("the old version is still there")
	}
	buf := make([]byte, 1)
	if n, _ := open.Read(buf); n != 1 || buf[0] != '1' {
		t.Error("a reader of the old version lost it")
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if !write(t, dir, 4, nil) || read(t, dir, "..data/a") == "new" {
		t.Error("an empty payload is not shown")
	}
}

func TestPathsStayInside(t *testing.T) {
	for _, bad := range []string{"", "/a", "../a", "a/../b", "..data", "..x", ".", "./", "./.", "./..data", ".//..x", strings.Repeat("a/", 2000) + "b", strings.Repeat("a", 5000)} {
		if _, err := Write(t.TempDir(), Payload{bad: {}}, -1, time.Unix(1, 0)); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

// TestOddPathsAreWrittenOnce: a path has one name, however it is spelled, and its file can be seen.
func TestOddPathsAreWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	odd := map[string]string{"./a": "1", "d//b": "2", "e/./f/": "3"}
	if !write(t, dir, 1, odd) || write(t, dir, 2, odd) {
		t.Error("written not at all, or twice")
	}
	if got := read(t, dir, "a") + read(t, dir, "d/b") + read(t, dir, "e/f"); got != "123" {
		t.Errorf("content %q", got)
	}
}
