package kit

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"hyperkube/internal/bounds"
)

// TestEventText: an event tells the begin of a message, whole characters only, and a short one as it is.
func TestEventText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := fake.NewClientset()
		r, e := NewRecorder(kube, "me", slog.New(slog.DiscardHandler))
		sending(t, e)
		r.Event(pod("a", "u", "7"), corev1.EventTypeWarning, "Short", "word")
		time.Sleep(time.Second)
		r.Event(pod("a", "u", "7"), corev1.EventTypeWarning, "Long", "x"+strings.Repeat("é", 1<<19))
		time.Sleep(time.Second)
		synctest.Wait()
		l, err := kube.CoreV1().Events("n").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(l.Items) != 2 {
			t.Fatal(err, len(l.Items))
		}
		for _, ev := range l.Items {
			switch m := ev.Message; ev.Reason {
			case "Short":
				if m != "word" {
					t.Errorf("%q", m)
				}
			default:
				if len(m) > bounds.EventText || len(m) < bounds.EventText-8 || !utf8.ValidString(m) || !strings.HasSuffix(m, "é…") {
					t.Errorf("%d bytes, %q", len(m), m[max(len(m)-20, 0):])
				}
			}
		}
	})
}
