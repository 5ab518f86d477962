package cron

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	from := time.Date(2026, 1, 30, 23, 58, 30, 0, time.UTC) // a Friday
	for text, want := range map[string]string{
		"* * * * *":                "2026-01-30 23:59",
		"*/15 * * * *":             "2026-01-31 00:00",
		"30 4 1 * *":               "2026-02-01 04:30",
		"0 0 29 2 *":               "2028-02-29 00:00",
		"0 12 * * MON-wed":         "2026-02-02 12:00",
		"0 0 13 * fri":             "2026-02-06 00:00", // either day fits
		"5,10 1-3/2 * jun *":       "2026-06-01 01:05",
		"@hourly":                  "2026-01-31 00:00",
		"@yearly":                  "2027-01-01 00:00",
		"@every 90s":               "2026-01-31 00:00",
		"TZ=Asia/Tokyo 0 9 * * *":  "2026-01-31 00:00",
		"CRON_TZ=UTC 0 10/4 * * *": "2026-01-31 10:00",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s.Next(from).Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if s, _ := Parse("0 0 31 2 *"); !s.Next(from).IsZero() {
		t.Error("31 February came")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
		"5-1 * * * *", "*/0 * * * *", "a * * * *", "1-2-3 * * * *", "@never", "@every soon", "TZ=Nowhere/City * * * * *", "-1 * * * *"} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q is %+v", text, s)
		}
	}
}

// FuzzParse: whatever parses has a next time later than the one asked about, or none.
func FuzzParse(f *testing.F) {
	f.Add("*/5 0-6 1,15 jan-jun MON")
	f.Add("@every 1h")
	from := time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if next := s.Next(from); !next.IsZero() && !next.After(from) {
			t.Errorf("%q: %v after %v", text, next, from)
		}
	})
}
