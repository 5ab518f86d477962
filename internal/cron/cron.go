// Package cron reads five-field crontab schedules and computes their next time.
//
// The fields are minute, hour, day of month, month and day of week, each `*`,
// a number, a range, a list, any of them with `/step`, months and days also by
// English abbreviation. `@hourly` and its like, `@every 90s` and a leading
// `TZ=Zone ` or `CRON_TZ=Zone ` are understood. When both day fields are
// restricted, a day that fits either is meant, as in cron(5).
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is a parsed schedule. The zero value never fires.
type Schedule struct {
	minute, hour, day, month, weekday uint64
	anyDay, anyWeekday                bool
	every                             time.Duration
	zone                              *time.Location // nil: that of the time asked about
}

// Parse reads a schedule.
func Parse(text string) (Schedule, error) {
	var s Schedule
	spec, err := s.takeZone(text)
	if err != nil {
		return Schedule{}, err
	}
	if strings.HasPrefix(spec, "@") {
		if d, ok := strings.CutPrefix(spec, "@every "); ok {
			every, err := time.ParseDuration(d)
			if err != nil {
				return Schedule{}, fmt.Errorf("failed to parse duration %s: %w", spec, err)
			}
			s.every = max(every.Truncate(time.Second), time.Second)
			return s, nil
		}
		named, ok := byName(spec)
		if !ok {
			return Schedule{}, fmt.Errorf("unrecognized descriptor: %s", spec)
		}
		spec = named
	}
	parts := strings.Fields(spec)
	if len(parts) != 5 {
		return Schedule{}, fmt.Errorf("expected exactly 5 fields, found %d: %s", len(parts), spec)
	}
	if err := s.takeFields(parts); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

func (s *Schedule) takeZone(text string) (string, error) {
	text = strings.TrimSpace(text)
	for _, p := range []string{"TZ=", "CRON_TZ="} {
		rest, ok := strings.CutPrefix(text, p)
		if !ok {
			continue
		}
		name, spec, _ := strings.Cut(rest, " ")
		zone, err := time.LoadLocation(name)
		if err != nil {
			return "", fmt.Errorf("provided bad location %s: %w", name, err)
		}
		s.zone = zone
		return strings.TrimSpace(spec), nil
	}
	return text, nil
}

func byName(spec string) (string, bool) {
	switch spec {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

func (s *Schedule) takeFields(parts []string) (err error) {
	months := []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	if s.minute, _, err = parseField(parts[0], 0, 59, nil); err != nil {
		return err
	}
	if s.hour, _, err = parseField(parts[1], 0, 23, nil); err != nil {
		return err
	}
	if s.day, s.anyDay, err = parseField(parts[2], 1, 31, nil); err != nil {
		return err
	}
	if s.month, _, err = parseField(parts[3], 1, 12, months); err != nil {
		return err
	}
	s.weekday, s.anyWeekday, err = parseField(parts[4], 0, 6, days)
	return err
}

// parseField gives the set of values as bits, and whether the field was a bare
// star (with or without a step).
func parseField(text string, low, high int, names []string) (set uint64, star bool, err error) {
	for _, part := range strings.Split(text, ",") {
		bits, st, err := parseRange(part, low, high, names)
		if err != nil {
			return 0, false, err
		}
		set, star = set|bits, star || st
	}
	return set, star, nil
}

func parseRange(part string, low, high int, names []string) (set uint64, star bool, err error) {
	span, stepText, stepped := strings.Cut(part, "/")
	from, to, step := low, high, 1
	switch first, last, isRange := strings.Cut(span, "-"); {
	case span == "*" || span == "?":
		star = true
	default:
		if from, err = parseValue(first, names); err != nil {
			return 0, false, err
		}
		switch {
		case isRange:
			if to, err = parseValue(last, names); err != nil {
				return 0, false, err
			}
		case !stepped:
			to = from
		}
	}
	if stepped {
		if step, err = parseValue(stepText, nil); err != nil {
			return 0, false, err
		}
		star = star && step == 1
	}
	switch {
	case from < low:
		return 0, false, fmt.Errorf("beginning of range (%d) below minimum (%d): %s", from, low, part)
	case to > high:
		return 0, false, fmt.Errorf("end of range (%d) above maximum (%d): %s", to, high, part)
	case from > to:
		return 0, false, fmt.Errorf("beginning of range (%d) beyond end of range (%d): %s", from, to, part)
	case step == 0:
		return 0, false, fmt.Errorf("step of range should be a positive number: %s", part)
	}
	for v := from; v <= to; v += step {
		set |= 1 << v
	}
	return set, star, nil
}

func parseValue(text string, names []string) (int, error) {
	for i, n := range names {
		if n != "" && strings.EqualFold(n, text) {
			return i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return 0, fmt.Errorf("failed to parse number: %q", text)
	}
	return n, nil
}

// Next is the first time after t that fits, or zero when none does in five years.
func (s Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		return t.Truncate(time.Second).Add(s.every)
	}
	asked := t.Location()
	if s.zone != nil {
		t = t.In(s.zone)
	}
	end := t.AddDate(5, 0, 0)
	for t = t.Truncate(time.Minute).Add(time.Minute); t.Before(end); {
		switch y, m, d := t.Date(); {
		case s.month&(1<<m) == 0:
			t = later(t, time.Date(y, m+1, 1, 0, 0, 0, 0, t.Location()))
		case !s.fitsDay(t):
			t = later(t, time.Date(y, m, d+1, 0, 0, 0, 0, t.Location()))
		case s.hour&(1<<t.Hour()) == 0:
			t = later(t, time.Date(y, m, d, t.Hour()+1, 0, 0, 0, t.Location()))
		case s.minute&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t.In(asked)
		}
	}
	return time.Time{}
}

// later guards against clocks that are set back: wall-clock arithmetic must
// never move backwards.
func later(t, next time.Time) time.Time {
	if next.After(t) {
		return next
	}
	return t.Add(time.Hour - time.Duration(t.Minute())*time.Minute)
}

func (s Schedule) fitsDay(t time.Time) bool {
	day, weekday := s.day&(1<<t.Day()) != 0, s.weekday&(1<<t.Weekday()) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
