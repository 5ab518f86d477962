package filters

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/logfile"

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

	mu   sync.Mutex
	file *os.File
	size int64

	rotation logfile.Rotation
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
	SourceIPs                []string         `json:"sourceIPs,omitempty"`
	UserAgent                string           `json:"userAgent,omitempty"`
	ObjectRef                *auditObject     `json:"objectRef,omitempty"`
	ResponseStatus           map[string]any   `json:"responseStatus,omitempty"`
	RequestReceivedTimestamp metav1.MicroTime `json:"requestReceivedTimestamp"`
	StageTimestamp           metav1.MicroTime `json:"stageTimestamp"`
}

// Open opens the file for appending.
func (l *AuditLog) Open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
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

// wrap is the filter; a nil log audits nothing.
func (l *AuditLog) wrap(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := request.InfoFrom(r.Context())
		if !info.IsResource || info.Resource == "events" || info.Resource == "leases" {
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		rec := record(w)
		defer func() { l.write(eventOf(r, rec, info, start)) }()
		next.ServeHTTP(rec, r)
	})
}

func eventOf(r *http.Request, rec *recorder, info *request.Info, start time.Time) *auditEvent {
	u := request.UserFrom(r.Context())
	e := &auditEvent{
		Kind: "Event", APIVersion: "audit.k8s.io/v1", Level: "Metadata", Stage: "ResponseComplete",
		RequestURI: r.URL.RequestURI(), Verb: info.Verb, UserAgent: r.UserAgent(),
		User:                     auditUser{u.Name, u.UID, u.Groups, u.Extra},
		ObjectRef:                &auditObject{info.Resource, info.Namespace, info.Name, info.Group, info.Version, info.Subresource},
		ResponseStatus:           map[string]any{"metadata": struct{}{}, "code": rec.status()},
		RequestReceivedTimestamp: metav1.NewMicroTime(start), StageTimestamp: metav1.NowMicro(),
	}
	if id := rec.Header()[auditID]; len(id) > 0 {
		e.AuditID = id[0]
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.SourceIPs = []string{host}
	}
	return e
}

func (l *AuditLog) write(e *auditEvent) {
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	if max := l.limit(); l.size+int64(len(line)) > max && l.size > 0 {
		if err := l.rotateLocked(); err != nil && l.Log != nil {
			l.Log.Error("rotating the audit log failed", "err", err)
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	if err != nil && l.Log != nil {
		l.Log.Error("writing the audit log failed", "err", err)
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
