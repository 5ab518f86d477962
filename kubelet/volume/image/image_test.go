package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume"
)

func TestSetUp(t *testing.T) {
	var asked []string
	var fail error
	k := Kind{Ensure: func(_ context.Context, _ *v1.Pod, image string, p v1.PullPolicy) (string, error) {
		asked = append(asked, image+" "+string(p))
		return "sha256:1", fail
	}}
	r := volume.Request{Dir: filepath.Join(t.TempDir(), "v"), Volume: &v1.Volume{VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "reg:5000/a/b"}}}}
	fail = errors.New("no such image")
	if _, err := k.SetUp(t.Context(), r); !errors.Is(err, fail) {
		t.Errorf("error %v", err)
	}
	fail = nil
	for range 2 { // the second time from what is known
		if got, err := k.SetUp(t.Context(), r); err != nil || got.Image != "sha256:1" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for n, left := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00"} { // by a power cut
		if err := os.WriteFile(filepath.Join(r.Dir, "ref"), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := k.SetUp(t.Context(), r); err != nil || got.Image != "sha256:1" {
			t.Errorf("after %q: %+v, %v", left, got, err)
		}
		if len(asked) != 3+n {
			t.Errorf("after %q: asked %q", left, asked)
		}
	}
	if len(asked) != 4 || asked[1] != "reg:5000/a/b Always" {
		t.Errorf("asked %q", asked)
	}
}

func TestPolicy(t *testing.T) {
	for ref, want := range map[string]v1.PullPolicy{
		"a": v1.PullAlways, "a:latest": v1.PullAlways, "a:1": v1.PullIfNotPresent, "h:1/a": v1.PullAlways, "a@sha256:1": v1.PullIfNotPresent,
	} {
		if got := policy(&v1.ImageVolumeSource{Reference: ref}); got != want {
			t.Errorf("%s: %s", ref, got)
		}
	}
}
