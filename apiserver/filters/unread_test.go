package filters

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// unread is a writer whose client takes nothing, until its deadline is over.
type unread struct {
	*httptest.ResponseRecorder
	over chan struct{}
}

func (w *unread) Write([]byte) (int, error) {
	<-w.over
	return 0, errors.New("deadline exceeded")
}

func (w *unread) SetWriteDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		close(w.over)
	}
	return nil
}

// TestUnreadAnswer: an answer that nobody reads does not keep its place for ever.
func TestUnreadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"list pods"}, MaxReads: 1},
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("a long list")) }))
		start := time.Now()
		h.ServeHTTP(&unread{httptest.NewRecorder(), make(chan struct{})}, httptest.NewRequest("GET", "/api/v1/pods", nil))
		if took := time.Since(start); took != time.Minute+readerTime {
			t.Errorf("the place was kept for %v", took)
		}
		if c := send(h, "GET", "/api/v1/pods").Code; c != http.StatusOK {
			t.Errorf("the next one: %d", c)
		}
	})
}
