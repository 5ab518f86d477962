package filters

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/logfile"
	"hyperkube/internal/trouble"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AuditLog writes one audit.k8s.io/v1 Event of level Metadata a line. Health
// checks, leases and the events of the cluster itself are left out: they would
// be most of the file and say nothing.
type AuditLog struct {
	Path     string
	MaxBytes int64 // a fuller file is set aside; 0 means 100 MiB
	Keep     int   // files set aside; 0 means 10
	Compress bool  // them
	Log      *slog.Logger
	Failures *prometheus.CounterVec // trouble.Metric; may be nil
	LeftOut  *prometheus.CounterVec // AuditLeftOut; may be nil

	mu   sync.Mutex
	file *os.File
	size int64
	told *trouble.Teller

	rotation logfile.Rotation
	shares   shares
}

type auditUser struct {
	Username string              `json:"username,omitempty"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

type auditObject struct {
	Resource    string `json:"resource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name,omitempty"`
	APIGroup    string `json:"apiGroup,omitempty"`
	APIVersion  string `json:"apiVersion,omitempty"`
	Subresource string `json:"subresource,omitempty"`
}

type auditEvent struct {
	Kind                     string           `json:"kind"`
	APIVersion               string           `json:"apiVersion"`
	Level                    string           `json:"level"`
	AuditID                  string           `json:"auditID"`
	Stage                    string           `json:"stage"`
	RequestURI               string           `json:"requestURI"`
	Verb                     string           `json:"verb"`
	User                     auditUser        `json:"user"`
	ImpersonatedUser         *auditUser       `json:"impersonatedUser,omitempty"`
	SourceIPs                []string         `json:"sourceIPs,omitempty"`
	UserAgent                string           `json:"userAgent,omitempty"`
	ObjectRef                *auditObject     `json:"objectRef,omitempty"`
	ResponseStatus           map[string]any   `json:"responseStatus,omitempty"`
	RequestReceivedTimestamp metav1.MicroTime `json:"requestReceivedTimestamp"`
	StageTimestamp           metav1.MicroTime `json:"stageTimestamp"`

	Annotations map[string]string `json:"annotations,omitempty"`
}

// Open opens the file for appending.
func (l *AuditLog) Open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == nil && l.Log != nil {
		l.told = trouble.New(l.Log, l.Failures, "writing the audit log")
	}
	return l.openLocked()
}

func (l *AuditLog) openLocked() error {
	f, err := os.OpenFile(l.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("audit log: %w", err)
	}
	l.file, l.size = f, st.Size()
	return nil
}

// Close closes the file.
func (l *AuditLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	l.rotation.Wait()
	err := l.file.Close()
	l.file = nil
	return err
}

// wrap is the filter; a nil log audits nothing. What takes long is told when its
// answer begins and when it ends, everything else when it ends.
func (l *AuditLog) wrap(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, t := request.InfoFrom(r.Context()), trailOf(r.Context())
		start, rec, stage := time.Now(), record(w), stagePanic
		tell := func(stage string) {
			if worthTelling(info, t, rec.status()) || stage == stagePanic {
				l.write(eventOf(r, rec, t, info, start, stage), t.by, rec.status())
			}
		}
		if LongRunning(info) {
			rec.begun = func() { tell(stageStarted) }
		}
		defer func() {
			rec.begun = nil
			tell(stage)
		}()
		next.ServeHTTP(rec, r)
		rec.begin(http.StatusOK) // what the server says for a handler that said nothing
		stage = stageComplete
	})
}

const (
	stageStarted  = "ResponseStarted"
	stageComplete = "ResponseComplete"
	stagePanic    = "Panic"
)

// worthTelling: every refusal and all that was done as somebody else; else what was
// asked of resources, without the two kinds whose writes are the cluster's pulse.
func worthTelling(i *request.Info, t *trail, code int) bool {
	switch {
	case healthCheck(i):
		return false
	case t.as != nil, t.refused != "":
		return true
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusTooManyRequests:
		return true
	}
	return i.IsResource && i.Resource != "events" && i.Resource != "leases"
}

func eventOf(r *http.Request, rec *recorder, t *trail, info *request.Info, start time.Time, stage string) *auditEvent {
	code := rec.status()
	if stage == stagePanic {
		code = http.StatusInternalServerError
	}
	e := &auditEvent{
		Kind: "Event", APIVersion: "audit.k8s.io/v1", Level: "Metadata", Stage: stage,
		RequestURI: short(r.URL.RequestURI()), Verb: short(info.Verb), UserAgent: short(r.UserAgent()),
		ResponseStatus:           map[string]any{"metadata": struct{}{}, "code": code},
		RequestReceivedTimestamp: metav1.NewMicroTime(start), StageTimestamp: metav1.NowMicro(),
		Annotations: t.annotations(),
	}
	if u := t.by; u != nil {
		e.User = auditUser{u.Name, u.UID, u.Groups, u.Extra}
	}
	if u := t.as; u != nil {
		e.ImpersonatedUser = &auditUser{u.Name, u.UID, u.Groups, u.Extra}
	}
	if info.IsResource {
		e.ObjectRef = &auditObject{short(info.Resource), short(info.Namespace), short(info.Name), short(info.Group), short(info.Version), short(info.Subresource)}
	}
	if id := rec.Header()[auditID]; len(id) > 0 {
		e.AuditID = id[0]
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.SourceIPs = []string{host}
	}
	return e
}

func (t *trail) annotations() map[string]string {
	a := make(map[string]string, len(t.notes)+2)
	maps.Copy(a, t.notes)
	if t.decision != "" {
		a["authorization.k8s.io/decision"], a["authorization.k8s.io/reason"] = t.decision, short(t.reason)
	}
	if t.refused != "" {
		a["impersonation.hyperkube.io/refused"] = short(t.refused)
	}
	return a
}

// short bounds what of a client's text is repeated.
func short(s string) string {
	if len(s) <= bounds.AuditText {
		return s
	}
	return strings.ToValidUTF8(s[:bounds.AuditText], "") + "…"
}

func (l *AuditLog) write(e *auditEvent, by *request.User, code int) {
	line, err := fit(e)
	if err != nil {
		return
	}
	if of, sort := l.shares.find(e, by, code, e.StageTimestamp.Time); of != nil {
		leftOut, ok := of.take(len(line), e.StageTimestamp.Time)
		if !ok {
			if l.LeftOut != nil {
				l.LeftOut.WithLabelValues(string(sort)).Inc()
			}
			return
		}
		if leftOut > 0 {
			if e.Annotations == nil {
				e.Annotations = map[string]string{}
			}
			e.Annotations[leftOutNote] = strconv.Itoa(leftOut)
			if line, err = fit(e); err != nil {
				return
			}
		}
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	if max := l.limit(); l.size+int64(len(line)) > max && l.size > 0 {
		if err := l.rotateLocked(); err != nil && l.told != nil {
			l.told.Failed(fmt.Errorf("rotating: %w", err))
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	switch {
	case l.told == nil:
	case err != nil:
		l.told.Failed(err)
	default:
		l.told.Well()
	}
}

func (l *AuditLog) limit() int64 {
	if l.MaxBytes > 0 {
		return l.MaxBytes
	}
	return 100 << 20
}

// rotateLocked moves audit.log to audit.log.1, .1 to .2 and so on.
func (l *AuditLog) rotateLocked() error {
	l.rotation.Path, l.rotation.Keep, l.rotation.Compress = l.Path, l.Keep, l.Compress
	if l.Keep <= 0 {
		l.rotation.Keep = 10
	}
	if err := l.rotation.Rotate(); err != nil {
		return err
	}
	old := l.file
	if err := l.openLocked(); err != nil {
		l.file = old
		return err
	}
	return old.Close()
}
