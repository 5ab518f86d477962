package evict

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestRests: a pod that takes long to be measured rests alone and not too long; the others are looked at as ever.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := map[string]time.Duration{"slow": 30 * time.Second, "slower": time.Second, "quick": 0}
		var pods []*v1.Pod
		for name := range took {
			p := limitedContainer(limited(name, "", ""), "main", "1Mi")
			p.UID, p.Spec.Volumes = types.UID(name), nil
			pods = append(pods, p)
		}
		looked := map[string]int{}
		g := New()
		g.Log = slog.New(slog.DiscardHandler)
		g.Pods = func() []*v1.Pod { return pods }
		g.Dir, g.Logs = func(*v1.Pod, string) string { return "/none" }, func(*v1.Pod, string) string { return "/none" }
		g.Files = func(*v1.Pod, string) []string { return nil }
		g.Layers = func(context.Context) func(*v1.Pod, string) (int64, error) {
			return func(p *v1.Pod, _ string) (int64, error) {
				looked[p.Name]++
				time.Sleep(took[p.Name])
				return 0, nil
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for name, least := range map[string]int{"quick": 250, "slower": 45, "slow": 9} {
			if looked[name] < least {
				t.Errorf("%s was looked at %d times in an hour", name, looked[name])
			}
		}
		if looked["slow"] > 12 {
			t.Errorf("slow was looked at %d times in an hour", looked["slow"])
		}
	})
}
