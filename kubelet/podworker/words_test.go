package podworker

import (
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestWordsAreForgotten: messages are kept as long as their containers.
func TestWordsAreForgotten(t *testing.T) {
	words := map[string]string{}
	for i := range 100 {
		words[string(rune('a'+i))] = "bye"
	}
	forgetWords(words, []*runtimeapi.ContainerStatus{{Id: "b"}, {Id: "none"}})
	if len(words) != 1 || words["b"] != "bye" {
		t.Errorf("%d messages are kept", len(words))
	}
}
