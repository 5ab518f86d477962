package netns

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"hyperkube/internal/supervise"
)

func TestPanicReachesTheCaller(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = supervise.Contain("work in a namespace", func() error {
		return ns.Do(func() error { var m map[string]int; m["x"] = 1; return nil })
	})
	var p *supervise.Panic
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "nil map") || !strings.Contains(err.Error(), "TestPanicReachesTheCaller") {
		t.Errorf("got %v", err)
	}
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that ended its goroutine counts as done")
	}
	if err := ns.Do(func() error { return os.ErrExist }); !errors.Is(err, os.ErrExist) {
		t.Errorf("after a panic: %v", err)
	}
}
