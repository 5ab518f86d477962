package connect

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// truth of a query parameter: there and not "false" or "0".
func truth(q url.Values, name string) bool {
	v, ok := q[name]
	return ok && (len(v) == 0 || !strings.EqualFold(v[0], "false") && v[0] != "0")
}

// streams are the options of exec and attach.
type streams struct {
	container                  string
	stdin, stdout, stderr, tty bool
	command                    []string
}

func parseStreams(q url.Values, isExec bool) (streams, error) {
	s := streams{
		container: q.Get("container"), command: q["command"],
		stdin: truth(q, "stdin"), stdout: truth(q, "stdout"), stderr: truth(q, "stderr"), tty: truth(q, "tty"),
	}
	if s.tty {
		s.stderr = false // a terminal has one output
	}
	if !s.stdin && !s.stdout && !s.stderr {
		return s, apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	if isExec && len(s.command) == 0 {
		return s, apierrors.NewBadRequest("you must specify at least 1 command")
	}
	return s, nil
}

// query in the kubelet's words.
func (s streams) query() url.Values {
	q := url.Values{}
	for name, on := range map[string]bool{
		corev1.ExecStdinParam: s.stdin, corev1.ExecStdoutParam: s.stdout, corev1.ExecStderrParam: s.stderr, corev1.ExecTTYParam: s.tty,
	} {
		if on {
			q.Set(name, "1")
		}
	}
	if len(s.command) > 0 {
		q[corev1.ExecCommandParam] = s.command
	}
	return q
}

// parseLog reads PodLogOptions.
func parseLog(q url.Values) (*corev1.PodLogOptions, error) {
	o := &corev1.PodLogOptions{
		Container: q.Get("container"), Follow: truth(q, "follow"), Previous: truth(q, "previous"), Timestamps: truth(q, "timestamps"),
		InsecureSkipTLSVerifyBackend: truth(q, "insecureSkipTLSVerifyBackend"),
	}
	for name, to := range map[string]**int64{"sinceSeconds": &o.SinceSeconds, "tailLines": &o.TailLines, "limitBytes": &o.LimitBytes} {
		if v := q.Get(name); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("%s: %v", name, err))
			}
			*to = &n
		}
	}
	if v := q.Get("sinceTime"); v != "" {
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("sinceTime: %v", err))
		}
		since := metav1.NewTime(t)
		o.SinceTime = &since
	}
	if v := q.Get("stream"); v != "" {
		o.Stream = &v
	}
	return o, nil
}

func validateLog(o *corev1.PodLogOptions) (errs field.ErrorList) {
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.Stream != nil {
		all := []string{corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr}
		switch *o.Stream {
		case all[0]:
		case all[1], all[2]:
			if o.TailLines != nil {
				errs = append(errs, field.Forbidden(field.NewPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
			}
		default:
			errs = append(errs, field.NotSupported(field.NewPath("stream"), *o.Stream, all))
		}
	}
	return errs
}

// logQuery in the kubelet's words.
func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	for name, on := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if on {
			q.Set(name, "true")
		}
	}
	for name, n := range map[string]*int64{"sinceSeconds": o.SinceSeconds, "tailLines": o.TailLines, "limitBytes": o.LimitBytes} {
		if n != nil {
			q.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.UTC().Format(time.RFC3339))
	}
	if o.Stream != nil {
		q.Set("stream", *o.Stream)
	}
	return q
}
