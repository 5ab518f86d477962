package regular

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOdd: nothing that is no file is waited for; it is told what it is, and gives way to a
// file that is written. A folder does not.
func TestOdd(t *testing.T) {
	for kind, make := range map[string]func(path string) error{
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a socket": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		},
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			for what, try := range map[string]func() error{
				"read":   func() error { _, err := ReadFile(path); return err },
				"append": func() error { _, err := OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); return err },
				"check":  func() error { return Check(path) },
				"lock":   func() error { _, err := OpenFile(path, os.O_RDWR, 0); return err },
			} {
				err := try()
				if kind == "a folder" && what == "append" || kind == "a folder" && what == "lock" {
					if !errors.Is(err, syscall.EISDIR) {
						t.Errorf("%s: %v", what, err)
					}
				} else if !errors.Is(err, ErrIrregular) || !strings.Contains(err.Error(), path+" is "+kind) {
					t.Errorf("%s: %v", what, err)
				}
			}
			err := WriteFile(path, []byte("text"), 0o600)
			if kind == "a folder" {
				if err == nil {
					t.Error("a folder was written to")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err := ReadFile(path); err != nil || string(b) != "text" {
				t.Errorf("read %q, %v", b, err)
			}
		})
	}
}

// TestOrdinary: files are read whole up to the bound, through links too, and what is not
// there is fs.ErrNotExist.
func TestOrdinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := Check(path); err != nil {
		t.Error(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if err := WriteFile(path, []byte("longer"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadMost(path+".link", 4); err != nil || string(b) != "1234" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := ReadMost(path, 3); err == nil {
		t.Error("more than the bound was read")
	}
}
