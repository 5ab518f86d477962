package resident

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const mappings = `00400000-00500000 r-xp 00000000 fe:00 1                           /bin/x y
Size:               1024 kB
Rss:                 512 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00500000-00600000 r--p 00100000 fe:00 1                           /bin/x y
Rss:                 100 kB
Private_Dirty:        96 kB
Anonymous:             4 kB
00600000-00700000 rw-p 00200000 fe:00 1                           /bin/x y
Rss:                 100 kB
Anonymous:             0 kB
00700000-00800000 r--s 00000000 fe:00 2                           /db
Rss:                 100 kB
Anonymous:             0 kB
7f00000000-7f00001000 rw-p 00000000 00:00 0
Rss:                   4 kB
`

// TestClean: only what is exactly the file may be dropped.
func TestClean(t *testing.T) {
	got, err := clean(strings.NewReader(mappings))
	want := []area{{0x400000, 0x500000, 512 << 10}, {0x700000, 0x800000, 100 << 10}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := clean(strings.NewReader("zz-00 r-xp 0 0 0 /bin/x\n")); err == nil {
		t.Error("a broken line was taken")
	}
}

// TestDropFiles drops the pages of the test itself, which goes on.
func TestDropFiles(t *testing.T) {
	if n, err := DropFiles(); err != nil || n < os.Getpagesize() {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestKeep forgets once after the start and once more after another burst.
func TestKeep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	forgot, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		Keep(ctx, Options{Quiet: time.Millisecond, Forget: func() { forgot <- struct{}{} }})
	}()
	<-forgot
	var garbage [][]byte
	for again := false; !again; { // the first round may still be cleaning
		garbage = append(garbage, make([]byte, 2*worth))
		runtime.GC()
		select {
		case <-forgot:
			again = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	runtime.KeepAlive(garbage)
	cancel()
	<-done
}
