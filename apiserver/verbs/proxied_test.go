package verbs

import "testing"

func TestProxied(t *testing.T) {
	for id, want := range map[string]string{"web": "web", "web:80": "web", "web:http": "web", "https:web:443": "web", ":web:80": "web", "http:web:": "web"} {
		if got := proxied(id); got != want {
			t.Errorf("%q is about %q, want %q", id, got, want)
		}
	}
}
