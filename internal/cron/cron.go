// Package cron reads schedules of cron jobs: five fields of crontab(5), `@hourly`
// and its like, `@every 90s`, each after an optional `TZ=Zone ` or `CRON_TZ=Zone `.
// The reading is robfig/cron's, which is what the API's documentation refers to;
// what it panics on is an error here.
package cron

import (
	"errors"
	"strings"
	"time"

	robfig "github.com/robfig/cron/v3"
)

// Schedule gives the first time after another that fits, in that time's zone
// unless the schedule names one, and zero when none does in five years.
type Schedule interface {
	Next(time.Time) time.Time
}

// Parse reads a schedule.
func Parse(text string) (Schedule, error) {
	zoned := strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=")
	if zoned && !strings.Contains(text, " ") {
		return nil, errors.New("expected a space and the schedule after the zone")
	}
	return robfig.ParseStandard(text)
}
