package cri

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// placed is a pod with one container of the given sort, and that container as it is started.
func placed(kind string, pod *v1.PodSecurityContext, own *v1.SecurityContext) (*v1.Pod, *v1.Container) {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}, Spec: v1.PodSpec{SecurityContext: pod}}
	c := v1.Container{Name: "c", SecurityContext: own}
	switch kind {
	case "init":
		p.Spec.InitContainers = []v1.Container{c}
	case "sidecar":
		c.RestartPolicy = new(v1.ContainerRestartPolicyAlways)
		p.Spec.InitContainers = []v1.Container{c}
	case "ephemeral":
		e := v1.EphemeralContainer{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "c", SecurityContext: own}}
		p.Spec.EphemeralContainers = []v1.EphemeralContainer{e}
		c = v1.Container(e.EphemeralContainerCommon)
	default:
		p.Spec.Containers = []v1.Container{c}
	}
	return p, &c
}

// TestNonRoot writes down the answer, and the user, of every image × pod × container × sort of container.
func TestNonRoot(t *testing.T) {
	images := []struct {
		name string
		user ImageUser
	}{
		{"no user", ImageUser{}}, {"user 0", ImageUser{UID: new(int64(0))}}, {"user 1000", ImageUser{UID: new(int64(1000))}},
		{"user root", ImageUser{Username: "root"}}, {"user app", ImageUser{Username: "app"}},
		{"user -1", ImageUser{UID: new(int64(-1))}}, {"user 2³²", ImageUser{UID: new(int64(1) << 32)}},
	}
	flags := map[string]*bool{"unset": nil, "true": new(true), "false": new(false)}
	users := map[string]*int64{"unset": nil, "0": new(int64(0)), "5": new(int64(5))}
	var b strings.Builder
	for _, img := range images {
		for _, pf := range []string{"unset", "true", "false"} {
			for _, pu := range []string{"unset", "0", "5"} {
				for _, cf := range []string{"unset", "true", "false"} {
					for _, cu := range []string{"unset", "0", "5"} {
						answers := map[string]bool{}
						for _, kind := range []string{"container", "init", "sidecar", "ephemeral"} {
							pod, c := placed(kind, &v1.PodSecurityContext{RunAsNonRoot: flags[pf], RunAsUser: users[pu]},
								&v1.SecurityContext{RunAsNonRoot: flags[cf], RunAsUser: users[cu]})
							answers[answer(t, pod, c, img.user)] = true
						}
						if len(answers) != 1 {
							t.Errorf("the sort of container makes a difference: %v", answers)
						}
						for a := range answers {
							fmt.Fprintf(&b, "image %-9s | pod nonRoot %-5s user %-5s | container nonRoot %-5s user %-5s | %s\n", strings.TrimPrefix(img.name, "user "), pf, pu, cf, cu, a)
						}
					}
				}
			}
		}
	}
	golden(t, "nonroot", b.String())
}

func answer(t *testing.T, pod *v1.Pod, c *v1.Container, user ImageUser) string {
	t.Helper()
	if err := CheckNonRoot(pod, c, user); err != nil {
		text, _, _ := strings.Cut(err.Error(), " (pod: ")
		return "refused: " + text
	}
	cfg, err := (&Renderer{}).Container(pod, c, ContainerInput{User: user})
	if err != nil {
		t.Fatal(err)
	}
	if s := cfg.Linux.SecurityContext; s.RunAsUser != nil {
		return fmt.Sprintf("runs as %d", s.RunAsUser.Value)
	} else if s.RunAsUsername != "" {
		return "runs as " + s.RunAsUsername
	}
	return "runs as whoever the runtime likes"
}
