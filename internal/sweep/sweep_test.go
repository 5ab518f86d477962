package sweep

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestScenarios runs testdata: "sweeper after=… every=…" begins; "look at=…" takes the
// suspects of one look, one a line as "kind name since", and prints what may go.
func TestScenarios(t *testing.T) {
	start := time.Unix(0, 0)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *Sweeper[Suspect]
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			duration := func(arg string) time.Duration {
				var text string
				d.ScanArgs(t, arg, &text)
				v, err := time.ParseDuration(text)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			if d.Cmd == "sweeper" {
				s = &Sweeper[Suspect]{After: duration("after"), Every: duration("every")}
				return ""
			}
			var suspects []Suspect
			for line := range strings.Lines(d.Input) {
				f := strings.Fields(line)
				suspects = append(suspects, Suspect{f[0], f[1], f[2]})
			}
			var b strings.Builder
			for _, g := range s.Look(start.Add(duration("at")), suspects) {
				fmt.Fprintf(&b, "%s %s goes\n", g.Kind, g.Name)
			}
			if b.Len() == 0 {
				return fmt.Sprintf("%d suspected, nothing goes\n", s.Suspects())
			}
			return b.String()
		})
	})
}

// TestNothingYoungGoes: whatever the looks and whenever they are, what goes was a suspect
// in every look for at least After, and in more than one.
func TestNothingYoungGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Sweeper[Suspect]{After: 10 * time.Minute, Every: 3 * time.Minute}
		now := time.Unix(0, 0)
		since := map[Suspect]time.Time{}
		looks := map[Suspect]int{}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			suspects := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Suspect {
				return Suspect{"address", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, "since")}
			}), 0, 5).Draw(t, "suspects")
			is := map[Suspect]bool{}
			for _, x := range suspects {
				if is[x] {
					continue
				}
				is[x] = true
				if looks[x]++; looks[x] == 1 {
					since[x] = now
				}
			}
			for x := range looks {
				if !is[x] {
					delete(looks, x)
				}
			}
			for _, g := range s.Look(now, suspects) {
				if now.Sub(since[g]) < s.After || looks[g] < int(s.After/s.Every)+1 {
					t.Fatalf("%v goes after %s and %d looks", g, now.Sub(since[g]), looks[g])
				}
			}
		}
	})
}
