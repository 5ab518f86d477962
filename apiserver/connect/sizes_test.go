package connect

import (
	"strings"
	"testing"
)

// TestTerminalSizes: sizes come one by one; one that is too long ends them, not the connection.
func TestTerminalSizes(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want int
	}{
		"two":       {`{"Width":1,"Height":2}` + "\n" + `{"Width":3,"Height":4}`, 2},
		"malformed": {`{"Width":1,"Height":2}{"Width":`, 1},
		"too long":  {`{"Width":1,"Height":2}{"a":"` + strings.Repeat("a", 1<<20) + `"}{"Width":3,"Height":4}`, 1},
		"very many": {strings.Repeat(`{"Width":1,"Height":2}`, 2000), 2000},
	} {
		q, n := make(sizeQueue), 0
		rest := strings.NewReader(c.in)
		go q.read(t.Context(), rest)
		for q.Next() != nil {
			n++
		}
		if n != c.want || rest.Len() > 0 {
			t.Errorf("%s: %d sizes, %d bytes unread", name, n, rest.Len())
		}
	}
}
