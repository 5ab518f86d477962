package cronjob

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"hyperkube/controllers/stage"
	"hyperkube/internal/cron"
)

// TestCatchingUp costs little, however long nobody looked, and starts one job, for the latest time.
func TestCatchingUp(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 34, 30, 0, time.UTC)
	most := int64(1<<63 - 1)
	for _, schedule := range []string{"* * * * *", "@every 1s", "*/7 3 29 2 *", "0 0 1 1 *", "* * 30 2 *", "@yearly"} {
		for _, last := range []time.Time{{}, time.Unix(0, 0), now.AddDate(-400, 0, 0), now.AddDate(0, 0, -30)} {
			for _, deadline := range []*int64{nil, &most, new(int64)} {
				t.Run(fmt.Sprintf("%s since %s", schedule, last), func(t *testing.T) {
					c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", CreationTimestamp: metav1.NewTime(last)}}
					c.Spec.Schedule, c.Spec.StartingDeadlineSeconds = schedule, deadline
					c.Status.LastScheduleTime = &metav1.Time{Time: last}
					stage.Bounded(t, func() {
						p := planNext(snapshot{cron: c, now: now})
						if deadline == nil && schedule == "* * * * *" && (p.create == nil || p.create.Name != fmt.Sprint("c-", now.Unix()/60)) {
							t.Errorf("starts %+v", p.create)
						}
						if deadline == &most && schedule == "* * * * *" && p.create == nil {
							t.Error("a deadline that no duration holds is over")
						}
					})
				})
			}
		}
	}
}

// TestMostRecent: the short way finds what counting every time finds.
func TestMostRecent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"* * * * *", "*/13 * * * *", "5 */7 * * *", "0 0 * * 1", "30 2 1,15 * *", "@every 90s", "0 12 29 2 *"}).Draw(t, "schedule")
		s, err := cron.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		since := time.Unix(rapid.Int64Range(1.7e9, 1.8e9).Draw(t, "since"), 0).UTC()
		now := since.Add(time.Duration(rapid.Int64Range(0, 40*24*3600).Draw(t, "seconds")) * time.Second)
		var want time.Time
		for at := s.Next(since); !at.IsZero() && !at.After(now); at = s.Next(at) {
			want = at
		}
		have, _ := mostRecent(s, since, now)
		if text == "@every 90s" { // has no fixed times: any within the last round will do
			if want.IsZero() != have.IsZero() || !have.IsZero() && (have.After(now) || now.Sub(have) >= 90*time.Second) {
				t.Fatalf("%s in (%s, %s]: %s", text, since, now, have)
			}
			return
		}
		if !have.Equal(want) {
			t.Fatalf("%s in (%s, %s]: %s, want %s", text, since, now, have, want)
		}
	})
}
