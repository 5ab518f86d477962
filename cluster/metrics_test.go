package cluster

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hyperkube/kit"
)

// TestMetrics reads the metrics of several roles in one answer, also after a
// role was started again, and profiles only where they were asked for.
func TestMetrics(t *testing.T) {
	r := newRegistries()
	for _, role := range []string{"controller-manager", "scheduler", "controller-manager"} {
		m := kit.NewMetrics(r.fresh(role))
		if m == nil {
			t.Fatal("no metrics")
		}
	}
	get := func(debug bool, path string) (int, string) {
		w := httptest.NewRecorder()
		r.handler(debug).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get(false, "/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_cpu_seconds_total") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
	if code, _ := get(false, "/debug/pprof/cmdline"); code != http.StatusNotFound {
		t.Errorf("profiles without being asked for: %d", code)
	}
	if code, _ := get(true, "/debug/pprof/heap"); code != http.StatusOK {
		t.Errorf("no profile of the heap: %d", code)
	}
}
