package etcd

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge gives etcd a zap logger that writes to log. etcd's chatter at info
// level becomes debug. What etcd logs as fatal or as a panic ends the member,
// never the process (see end).
func bridge(log *slog.Logger, m *member) *zap.Logger {
	hook := end{m}
	c := &core{log: log.With("component", "etcd"), m: m, repeats: &repeats{last: map[string]*repeat{}}}
	return zap.New(c, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

type core struct {
	log     *slog.Logger
	m       *member
	repeats *repeats
}

func severity(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (c *core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.ErrorLevel || c.log.Enabled(context.Background(), severity(l))
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log.With(attrs(fields)...), m: c.m, repeats: c.repeats}
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Level >= zapcore.ErrorLevel {
		c.m.heard(e.Message, fields)
	}
	args := attrs(fields)
	if e.Level >= zapcore.WarnLevel && e.Level < zapcore.DPanicLevel {
		tell, hidden := c.repeats.tell(e.Message, time.Now())
		if !tell {
			return nil
		}
		if hidden > 0 {
			args = append(args, "more", hidden)
		}
	}
	c.log.Log(context.Background(), severity(e.Level), firstLine(e.Message), args...)
	return nil
}

func (c *core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
		}
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// A warning that etcd repeats while a cause lasts is told at once and then with
// growing pauses; one that was not heard for quietAfter is new again.
const (
	firstPause  = 10 * time.Second
	lastPause   = 10 * time.Minute
	quietAfter  = time.Minute
	repeatsKept = 128
)

// repeats remembers which messages were told when. They are etcd's constants,
// and a full table forgets.
type repeats struct {
	mu   sync.Mutex
	last map[string]*repeat
}

type repeat struct {
	heard, next time.Time
	pause       time.Duration
	hidden      int
}

// tell says whether a message is to be told, and how many like it were not.
func (r *repeats) tell(message string, now time.Time) (tell bool, hidden int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.last[message]
	switch {
	case x == nil:
		if len(r.last) >= repeatsKept {
			clear(r.last)
		}
		r.last[message] = &repeat{heard: now, next: now.Add(firstPause), pause: firstPause}
		return true, 0
	case now.Before(x.next):
		x.heard = now
		x.hidden++
		return false, 0
	case now.Sub(x.heard) > quietAfter:
		x.pause = firstPause
	default:
		x.pause = min(2*x.pause, lastPause)
	}
	hidden, x.hidden = x.hidden, 0
	x.heard, x.next = now, now.Add(x.pause)
	return true, hidden
}
