package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhyEnded: the reason of this start is told, not one of an earlier start, nor whatever
// happened to be logged last.
func TestWhyEnded(t *testing.T) {
	exit := func(code string) error { return exec.Command("sh", "-c", "exit "+code).Run() }
	for name, c := range map[string]struct {
		before, after string
		exit          error
		want          string
	}{
		"words":          {"", "level=INFO msg=x\nhyperkube: port 1 is in use\n", exit("1"), "port 1 is in use"},
		"earlier words":  {"hyperkube: no room\n", "level=INFO msg=x\n", exit("137"), "its process was ended by signal 9 (killed)"},
		"killed at once": {"", "", exit("137"), "its process was ended by signal 9 (killed)"},
		"told to end":    {"", "level=INFO msg=x\n", exit("143"), "its process was ended by signal 15 (terminated)"},
		"panic":          {"", "panic: odd\n\ngoroutine 1 [running]:\nmain.main()\n", exit("2"), "panic: odd"},
		"fatal":          {"", "fatal error: out of memory\n\nruntime stack:\n", exit("2"), "fatal error: out of memory"},
		"no word":        {"", "level=INFO msg=x\n", exit("3"), "its process ended without a word (exit status 3)"},
		"exit unknown":   {"", "level=INFO msg=x\n", nil, "its process ended without a word"},
		"long":           {"", strings.Repeat("level=INFO msg=x\n", 20_000) + "hyperkube: late\n", exit("1"), "late"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
				t.Fatal(err)
			}
			from := logEnd(path)
			if err := os.WriteFile(path, []byte(c.before+c.after), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := whyEnded(path, from, c.exit); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := whyEnded(filepath.Join(t.TempDir(), "none"), 0, nil); !strings.HasPrefix(got, "its log cannot be read: ") {
		t.Error(got)
	}
}

// TestReported: what the kubelet of an earlier start said does not count.
func TestReported(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	node := func(at time.Time) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeDiskPressure, LastHeartbeatTime: metav1.NewTime(began.Add(time.Hour))},
			{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.NewTime(at)}}}}
	}
	for name, c := range map[string]struct {
		node   *corev1.Node
		before time.Time
		want   bool
	}{
		"never":                             {&corev1.Node{}, time.Time{}, false},
		"first":                             {node(began), time.Time{}, true},
		"only by the one before":            {node(began.Add(-time.Minute)), began.Add(-time.Minute), false},
		"again":                             {node(began.Add(time.Second)), began.Add(-time.Minute), true},
		"twice in one second":               {node(began), began, true},
		"again, and the clock was set back": {node(began.Add(-time.Hour)), began.Add(-time.Minute), true},
	} {
		if got := reported(c.node, c.before, began); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
