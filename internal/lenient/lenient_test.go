package lenient

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAddr(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "010.0.0.1": "10.0.0.1", "127.0.0.01": "127.0.0.1", "::ffff:10.0.0.1": "10.0.0.1",
		"fd00::0001": "fd00::1", "fe80::1%eth0": "fe80::1%eth0", "::": "::",
		"": "", "x": "", "10.0.0": "", "10.0.0.256": "", "10.0.0.1/8": "", " 10.0.0.1": "",
	} {
		a, err := Addr(in)
		if got := text(a, err); got != want {
			t.Errorf("%q is %q, want %q (%v)", in, got, want, err)
		}
	}
}

func TestPrefix(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", " 10.0.0.0/8": "10.0.0.0/8", "10.0.0.0/8\t": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8",
		"010.0.0.0/08": "10.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0", "::ffff:10.1.2.3/104": "10.0.0.0/8", "FD00::1/64": "fd00::/64", "::/0": "::/0",
		"": "", "10.0.0.0": "", "10.0.0.0/33": "", "a/8": "", "::ffff:10.0.0.0/8": "::/8",
	} {
		p, err := Prefix(in)
		if got := text(p, err); got != want {
			t.Errorf("%q is %q, want %q (%v)", in, got, want, err)
		}
	}
}

func text[T interface{ String() string }](v T, err error) string {
	if err != nil {
		return ""
	}
	return v.String()
}

// FuzzReadsWhatValidationLetsIn: nothing that validation takes for an address or a range is
// unreadable here.
func FuzzReadsWhatValidationLetsIn(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "010.0.0.1", "::ffff:1.2.3.4", "fd00::1", "10.0.0.0/8", " 1.2.3.4/032", "::ffff:0:0/96", "::ffff:10.0.0.0/8", "1.2.3.4/8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(validation.IsValidIPForLegacyField(field.NewPath("f"), s, false, nil)) == 0 {
			if _, err := Addr(s); err != nil {
				t.Error(err)
			}
		}
		if len(validation.IsValidCIDRForLegacyField(field.NewPath("f"), s, false, nil)) == 0 {
			if _, err := Prefix(s); err != nil {
				t.Error(err)
			}
		}
	})
}
