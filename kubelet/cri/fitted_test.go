package cri

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestSandboxFits: whatever words a pod has, the runtime's list of as many pods as a large node has, each there twice,
// fits in one message, and says whose each sandbox is.
func TestSandboxFits(t *testing.T) {
	const pods, message = 2 * 250, 16 << 20
	labels, annotations := map[string]string{}, map[string]string{
		"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 200_000),
		"kubernetes.io/config.source":                      strings.Repeat("y", 50_000),
		"container.seccomp.security.alpha.kubernetes.io":   "short",
	}
	for i := range 20_000 {
		labels[fmt.Sprintf("%050d.example.com/%060d", i, i)] = strings.Repeat("v", 63)
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("n", 253), Namespace: strings.Repeat("s", 63), UID: "uid", Labels: labels, Annotations: annotations}}
	cfg := (&Renderer{CgroupParent: func(*v1.Pod) string { return "/p" }}).Sandbox(pod, 0)
	one := &runtimeapi.PodSandbox{Id: strings.Repeat("i", 64), Metadata: cfg.Metadata, Labels: cfg.Labels, Annotations: cfg.Annotations}
	if n := pods * proto.Size(one); n > message {
		t.Errorf("a list of %d has %d bytes, more than %d", pods, n, message)
	}
	if id, ok := IDOf(cfg.Labels); !ok || id.Name != pod.Name || id.Namespace != pod.Namespace {
		t.Errorf("the sandbox is nobody's: %v", id)
	}
	if cfg.Annotations["container.seccomp.security.alpha.kubernetes.io"] != "short" || cfg.Annotations["kubernetes.io/config.source"] != "api" {
		t.Errorf("%d annotations, source %.20q", len(cfg.Annotations), cfg.Annotations["kubernetes.io/config.source"])
	}
	if len(cfg.Labels) < 20 {
		t.Errorf("only %d labels though there is room", len(cfg.Labels))
	}
}

func TestFitted(t *testing.T) {
	in := map[string]string{"a": "1", "bb": "22", "ccc": "333333", "": "x"}
	for most, want := range map[int]string{100: "map[:x a:1 bb:22 ccc:333333]", 16: "map[:x a:1 bb:22 ccc:333333]", 15: "map[:x a:1 bb:22]", 3: "map[:x a:1]", 2: "map[:x]", 0: "map[]"} {
		if got := fmt.Sprint(fitted(in, most)); got != want {
			t.Errorf("within %d: %s, want %s", most, got, want)
		}
	}
}
