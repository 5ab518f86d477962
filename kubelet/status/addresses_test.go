package status

import (
	"slices"
	"testing"
)

func TestOneAddressOfEachFamily(t *testing.T) {
	for _, x := range []struct{ all, want []string }{
		{nil, nil},
		{[]string{"10.0.0.1"}, []string{"10.0.0.1"}},
		{[]string{"10.0.0.1", "10.0.0.2"}, []string{"10.0.0.1"}},
		{[]string{"2001:db8::1", "10.0.0.1", "2001:db8::2"}, []string{"2001:db8::1", "10.0.0.1"}},
		{[]string{"", "x", "10.0.0.1"}, []string{"10.0.0.1"}},
		{[]string{"::ffff:10.0.0.1", "10.0.0.2"}, []string{"::ffff:10.0.0.1"}},
	} {
		if got := oneOfEach(x.all); !slices.Equal(got, x.want) {
			t.Errorf("of %v: %v, want %v", x.all, got, x.want)
		}
	}
}
