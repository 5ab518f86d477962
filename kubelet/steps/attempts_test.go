package steps

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestForgetAttempts: what a container's attempts wrote is kept for the newest ones only, rotated files included.
func TestForgetAttempts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"0", "0.log", "0.log.20260102-030405.gz", "1.log", "1.log.20260102-030405", "2.log", "3.log", "3", "10.log", "other", "x.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		attempt uint32
		want    string
	}{
		{2, "0 0.log 0.log.20260102-030405.gz 1.log 1.log.20260102-030405 10.log 2.log 3 3.log other x.log"},
		{4, "10.log 2.log 3 3.log other x.log"},
		{11, "10.log other x.log"},
	} {
		if err := forgetAttempts(dir, c.attempt); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("before attempt %d: %s", c.attempt, s)
		}
	}
}

// TestLogLink: the link's name fits whatever a pod and its container are called.
func TestLogLink(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}}
	if got := LogLink("/d", pod, "c", "1"); got != "/d/p_ns_c-1.log" {
		t.Error(got)
	}
	pod.Name = strings.Repeat("p", 253)
	if got := filepath.Base(LogLink("/d", pod, strings.Repeat("c", 63), strings.Repeat("1", 64))); len(got) != 255 || !strings.HasSuffix(got, ".log") {
		t.Error(len(got), got)
	}
}
