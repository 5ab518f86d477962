package apiserver

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/store"
)

// odd are the numbers that every numeric option is tried with.
var odd = []string{"", "-9223372036854775808", "-1", "0", "1", "2", "9223372036854775807", "9223372036854775808", "1.5", "0x10", "x"}

// TestNumbers sends odd numbers in every option of a query that is one. The golden file shows each answer, how long a
// watch went on (in a bubble's time), how many objects a list showed, and what grace a deletion gave.
func TestNumbers(t *testing.T) {
	datadriven.RunTest(t, "goldens/numbers.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for _, n := range odd {
			synctest.Test(t, func(t *testing.T) { fmt.Fprintf(&out, "%20q %s\n", n, number(t, d.Input+n)) })
		}
		return out.String()
	})
}

func number(t *testing.T, line string) string {
	s, st := newTestServer(t)
	for _, name := range []string{"a", "b", "c"} {
		st.Put("configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name}})
		st.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name}, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}})
	}
	method, target, _ := strings.Cut(line, " ")
	const days = 100 * 24 * time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), days)
	defer cancel()
	r := httptest.NewRequest(method, target, nil).WithContext(ctx)
	w := httptest.NewRecorder()
	began := time.Now()
	s.Handler().ServeHTTP(w, r)
	said := fmt.Sprint(w.Code)
	switch took := time.Since(began); {
	case w.Code >= 400:
		return said + " " + reasonOf(w.Body.String())
	case !strings.Contains(line, "watch="):
	case took >= days:
		said += " watched for good"
	case took >= 30*time.Minute && took <= time.Hour: // by chance in between
		said += " watched for the server's time"
	default:
		said += fmt.Sprintf(" watched for %v", took)
	}
	if method == "GET" {
		return fmt.Sprintf("%s, %d objects", said, strings.Count(w.Body.String(), `"namespace":"d"`))
	}
	for _, name := range []string{"a", "b", "c"} {
		pods, _ := st.Collection("", "pods")
		e, err := pods.Get(t.Context(), store.Key{Namespace: "d", Name: name}, store.Freshness{})
		if err != nil {
			said += ", " + name + " is gone"
			continue
		}
		if o := e.Object; o.GetDeletionGracePeriodSeconds() != nil {
			said += fmt.Sprintf(", %s has %d until year %d", name, *o.GetDeletionGracePeriodSeconds(), o.GetDeletionTimestamp().Year())
		}
	}
	return said
}
