package certificates

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Go clients send times that they do not set as null. Both subresources fill them
// in, and a condition that says what it said before is not taken for a changed one.
func TestNullTimes(t *testing.T) {
	first, later := metav1.NewTime(time.Unix(1000, 0).UTC()), metav1.NewTime(time.Unix(2000, 5).UTC())
	now := first
	k := certificateSigningRequest(func() metav1.Time { return now })
	write := func(text string) *csr {
		o := &csr{}
		if err := json.Unmarshal([]byte(text), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	const approved = `{"type":"Approved","status":"True","reason":"ok","lastUpdateTime":null,"lastTransitionTime":null}`
	got := write(`{"status":{"conditions":[` + approved + `]}}`)
	rules := k.Subresources[0].Rules
	rules.Prepare(t.Context(), got, &csr{})
	if errs := rules.Validate(got, &csr{}); len(errs) > 0 {
		t.Fatal(errs)
	}
	if c := got.Status.Conditions[0]; !c.LastUpdateTime.Equal(&first) || !c.LastTransitionTime.Equal(&first) {
		t.Errorf("approval: %+v", c)
	}
	now = later
	next := write(`{"status":{"conditions":[` + approved + `,{"type":"Failed","status":"True"}]}}`)
	k.Status.Prepare(t.Context(), next, got)
	if errs := k.Status.Validate(next, got); len(errs) > 0 {
		t.Fatal(errs)
	}
	if c := next.Status.Conditions[0]; !c.LastUpdateTime.Equal(&first) || !c.LastTransitionTime.Equal(&first) {
		t.Errorf("the decision's times changed: %+v", c)
	}
	if c, want := next.Status.Conditions[1], later.Rfc3339Copy(); !c.LastUpdateTime.Equal(&want) || !c.LastTransitionTime.Equal(&want) {
		t.Errorf("status: %+v", c)
	}
}
