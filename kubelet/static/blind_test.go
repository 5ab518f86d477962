package static

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyperkube/internal/filewatch/filewatchtest"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ktesting "k8s.io/client-go/kubernetes/fake"
)

type updates chan string

func (u updates) Update(p *v1.Pod)        { u <- p.Name }
func (updates) Remove(types.UID)          {}
func (updates) Mirror(types.UID, *v1.Pod) {}

// TestManifestsWithoutInotify: on a host whose inotify instances are all taken a new manifest
// is noticed long before the folder is read anyway.
func TestManifestsWithoutInotify(t *testing.T) {
	if !filewatchtest.Within(t, 0, 0) {
		return
	}
	dir, seen := filepath.Join(t.TempDir(), "later"), make(updates, 10)
	s := New(dir, "n", ktesting.NewClientset(), seen, seen, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx, time.Hour) }()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: a}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-seen:
		if name != "web-n" {
			t.Error(name)
		}
	case <-time.After(time.Minute):
		t.Error("not noticed")
	}
	cancel()
	<-ended
}
