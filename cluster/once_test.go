package cluster

import (
	"os"
	"slices"
	"testing"
)

// TestGivenUpOnce: what a command gives up it gives up at its first start. When the keeper
// repeats it, a loss since then is told as if nothing had been said.
func TestGivenUpOnce(t *testing.T) {
	for name, c := range map[string]struct {
		flag func(*Options)
		lose func(Paths) string
	}{
		"objects":             {func(o *Options) { o.StartEmpty = true }, func(p Paths) string { return p.Etcd }},
		"encryption key":      {func(o *Options) { o.NewEncryptionKey = true }, func(p Paths) string { return p.EncryptionConfig }},
		"CA":                  {func(o *Options) { o.NewCA = true }, func(p Paths) string { return p.PKI + "/ca.key" }},
		"service-account key": {func(o *Options) { o.NewServiceAccountKey = true }, func(p Paths) string { return p.PKI + "/sa.key" }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			served(t, dir)
			var said Options
			c.flag(&said)
			once := said.onceOnly().Once
			command := func(o *Options) { o.DataDir, o.Once = dir, once; c.flag(o) }
			lose := func() {
				t.Helper()
				must(t, os.RemoveAll(c.lose(PathsOf(dir))))
			}
			lose()
			first, err := started(t, command)
			must(t, err)
			member(t, first.p)
			lose()
			again, err := started(t, command)
			if err != nil {
				t.Fatalf("a start that has not served gave nothing up yet: %v", err)
			}
			member(t, again.p)
			must(t, again.spend())
			if _, err := started(t, command); err != nil {
				t.Fatalf("started again with nothing lost: %v", err)
			}
			lose()
			if _, err := started(t, command); err == nil {
				t.Error("the keeper's start gave up what was lost after the person's")
			}
			if _, err := started(t, func(o *Options) { command(o); o.Once = said.onceOnly().Once }); err != nil {
				t.Errorf("said by a person again: %v", err)
			}
		})
	}
}

// TestOnceIsNamed: each command that gives something up has a name of its own, which reaches
// the process that runs the cluster; others have none.
func TestOnceIsNamed(t *testing.T) {
	o := Options{StartEmpty: true}
	a, b := o.onceOnly(), o.onceOnly()
	if a.Once == "" || a.Once == b.Once {
		t.Errorf("%q and %q", a.Once, b.Once)
	}
	if i := slices.Index(a.flags(), "--once"); i < 0 || a.flags()[i+1] != a.Once {
		t.Errorf("%v", a.flags())
	}
	if (Options{Once: a.Once}).onceOnly().Once != "" {
		t.Error("a command that gives nothing up has a name")
	}
}
