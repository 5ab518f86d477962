package apiserver

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/apiserver/request"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// onlyMine allows everything about the one object "mine", and nothing else.
type onlyMine struct{}

func (onlyMine) Authorize(_ context.Context, _ *request.User, i *request.Info) (request.Decision, string, error) {
	if i.IsResource && i.Name == "mine" {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

// TestServedIsAuthorized: whatever way a request names its object, what is shown
// or removed is what was authorized. The golden file shows every answer: the
// status and the objects that were shown, and what is gone afterwards.
func TestServedIsAuthorized(t *testing.T) {
	datadriven.RunTest(t, "goldens/named.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			synctest.Test(t, func(t *testing.T) { // a watch ends when there is no more to tell
				fmt.Fprintf(&out, "%s\n", ask(t, line))
			})
		}
		return out.String()
	})
}

func ask(t *testing.T, line string) string {
	s, st := newTestServerFor(t, onlyMine{}, false)
	for _, name := range []string{"mine", "other"} {
		st.Put("configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name}, Data: map[string]string{"of": name}})
		st.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, Labels: map[string]string{"of": name}},
			Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}})
	}
	method, target, _ := strings.Cut(line, " ")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := httptest.NewRequest(method, target, nil).WithContext(ctx)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	body := w.Body.String()
	if strings.Contains(body, `"of":"other"`) {
		t.Errorf("%s shows what was not authorized: %s", line, body)
	}
	said := fmt.Sprint(w.Code)
	if strings.Contains(body, `"of":"mine"`) {
		said += " shows mine"
	}
	if w.Code >= 400 {
		said += " " + reasonOf(body)
	}
	for _, resource := range []string{"configmaps", "pods"} {
		for _, name := range []string{"mine", "other"} {
			if !stored(t, st, resource, name) {
				said += fmt.Sprintf(" removed %s/%s", resource, name)
				if name == "other" {
					t.Errorf("%s removed what was not authorized", line)
				}
			}
		}
	}
	return said
}

func reasonOf(body string) string {
	_, rest, _ := strings.Cut(body, `"message":"`)
	message, _, _ := strings.Cut(strings.ReplaceAll(rest, `\"`, "'"), `"`)
	return message
}
