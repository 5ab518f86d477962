package filters

import (
	"testing"

	"hyperkube/apiserver/request"

	"pgregory.net/rapid"
)

// TestPool: whatever many take and give back, no more is held than there is, and whoever
// holds nothing gets what is left.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 200).Draw(t, "total")
		p := newPool(total)
		held := map[string][]int64{}
		var used int64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			who := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "who")
			if n := len(held[who]); n > 0 && rapid.Bool().Draw(t, "gives back") {
				p.leave(who, held[who][n-1])
				used -= held[who][n-1]
				held[who] = held[who][:n-1]
				continue
			}
			n := rapid.Int64Range(1, 20).Draw(t, "units")
			in := p.take(who, n)
			if !in && len(held[who]) == 0 && used+n <= total {
				t.Fatalf("%s holds nothing and is refused %d of the %d left", who, n, total-used)
			}
			if in {
				held[who] = append(held[who], n)
				used += n
			}
			if used > total {
				t.Fatalf("%d of %d are held", used, total)
			}
		}
		for who, list := range held {
			for _, n := range list {
				p.leave(who, n)
			}
		}
		if p.used != 0 || len(p.held) != 0 {
			t.Fatalf("%d stay, of %v", p.used, p.held)
		}
	})
}

// TestAccount: a namespace's service accounts are one, users are each their own.
func TestAccount(t *testing.T) {
	for user, want := range map[string]string{
		"jane":                        "jane",
		"system:serviceaccount:a:x":   "system:serviceaccounts:a",
		"system:serviceaccount:a:y":   "system:serviceaccounts:a",
		"system:serviceaccount:b:x":   "system:serviceaccounts:b",
		"system:serviceaccountant:b":  "system:serviceaccountant:b",
		"system:node:system:x":        "system:node:system:x",
		"system:serviceaccount:a:x:y": "system:serviceaccounts:a",
	} {
		if got := account(&request.User{Name: user}); got != want {
			t.Errorf("%s is counted for %s, not %s", user, got, want)
		}
	}
}
