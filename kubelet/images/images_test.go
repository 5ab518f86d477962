package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// TestPorts: what an image claims is believed up to a number.
func TestPorts(t *testing.T) {
	claims := map[string]struct{}{"53/udp": {}, "x/tcp": {}, "70000/tcp": {}}
	for i := range 10_000 {
		claims[fmt.Sprintf("%d/tcp", i+1)] = struct{}{}
	}
	info, err := json.Marshal(map[string]any{"imageSpec": map[string]any{"config": map[string]any{"ExposedPorts": claims}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := exposed(string(info)); len(got) != bounds.Ports || got[0] != 1 || got[len(got)-1] != bounds.Ports {
		t.Errorf("%d ports: %v", len(got), got)
	}
	if got := exposed(`{"imageSpec":{"config":{"ExposedPorts":{"80/tcp":{},"443":{}}}}}`); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestCredentials: only those for the registry are tried, at most so many, and missing secrets are told.
func TestCredentials(t *testing.T) {
	auths := map[string]any{"other.example": map[string]string{"username": "o"}}
	for i := range 200 {
		auths[fmt.Sprintf("reg.example/p%03d", i)] = map[string]string{"username": fmt.Sprint(i)}
		auths[fmt.Sprintf("https://reg.example/%s", strings.Repeat("/", i))] = map[string]string{"username": "any"}
	}
	data, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPuller(nil, 1, func(_ context.Context, _, name string) (*v1.Secret, error) {
		switch name {
		case "there":
			return &v1.Secret{Data: map[string][]byte{v1.DockerConfigJsonKey: data}}, nil
		case "broken":
			return nil, errors.New("no answer")
		}
		return nil, nil
	})
	var told []string
	tell := func(typ, reason, message string) { told = append(told, typ+" "+reason+" "+message) }
	pod := &v1.Pod{Spec: v1.PodSpec{ImagePullSecrets: []v1.LocalObjectReference{{Name: "gone"}, {Name: "there"}, {Name: "broken"}}}}
	if got := p.auths(t.Context(), pod, "reg.example/p007/x:v1", tell); len(got) != bounds.Credentials {
		t.Errorf("%d credentials", len(got))
	}
	want := "Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (gone, broken); attempting to pull the image may not succeed."
	if len(told) != 1 || told[0] != want {
		t.Errorf("told %q", told)
	}
	pod.Spec.ImagePullSecrets = pod.Spec.ImagePullSecrets[1:2]
	if got := p.auths(t.Context(), pod, "other.example/x", tell); len(got) != 1 || got[0].Username != "o" || len(told) != 1 {
		t.Errorf("%v, told %q", got, told)
	}
}
