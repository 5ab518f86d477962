package podsecurity

import (
	"fmt"
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Labels of namespaces; each has a twin with versionSuffix.
const (
	labelEnforce  = "pod-security.kubernetes.io/enforce"
	labelAudit    = "pod-security.kubernetes.io/audit"
	labelWarn     = "pod-security.kubernetes.io/warn"
	versionSuffix = "-version"
)

// Level of the standards; each contains the ones before.
type Level int

// The three levels.
const (
	Privileged Level = iota
	Baseline
	Restricted
)

var levels = [...]string{Privileged: "privileged", Baseline: "baseline", Restricted: "restricted"}

func (l Level) String() string { return levels[l] }

// parseLevel holds what is not known to the strictest.
func parseLevel(s string) (Level, error) {
	for l, name := range levels {
		if s == name {
			return Level(l), nil
		}
	}
	return Restricted, fmt.Errorf("must be one of privileged, baseline, restricted")
}

// Version of the standards is the minor one of a Kubernetes release.
type Version int

// Latest is that of this server.
const Latest Version = 1 << 30

func (v Version) String() string {
	if v == Latest {
		return "latest"
	}
	return "v1." + strconv.Itoa(int(v))
}

var versionPattern = regexp.MustCompile(`^v1\.(0|[1-9][0-9]{0,5})$`)

func parseVersion(s string) (Version, error) {
	if s == "latest" {
		return Latest, nil
	}
	if m := versionPattern.FindStringSubmatch(s); m != nil {
		minor, err := strconv.Atoi(m[1])
		return Version(minor), err
	}
	return Latest, fmt.Errorf("must be \"latest\" or \"v1.x\"")
}

// Bar is what pods are held to.
type Bar struct {
	Level   Level
	Version Version
}

func (b Bar) String() string { return b.Level.String() + ":" + b.Version.String() }

// Policy of a namespace.
type Policy struct{ Enforce, Audit, Warn Bar }

// policyOf reads the labels over the defaults. Where a label is not valid, the
// strictest is the policy and the error says so.
func policyOf(labels map[string]string, defaults Policy) (p Policy, errs field.ErrorList) {
	p = defaults
	at := field.NewPath("metadata", "labels")
	read := func(label string, to *Bar) (levelSet, versionSet bool) {
		var err error
		value, levelSet := labels[label]
		if levelSet {
			if to.Level, err = parseLevel(value); err != nil {
				errs = append(errs, field.Invalid(at.Key(label), value, err.Error()))
			}
		}
		value, versionSet = labels[label+versionSuffix]
		if versionSet {
			if to.Version, err = parseVersion(value); err != nil {
				errs = append(errs, field.Invalid(at.Key(label+versionSuffix), value, err.Error()))
			}
		}
		return levelSet, versionSet
	}
	enforced, _ := read(labelEnforce, &p.Enforce)
	read(labelAudit, &p.Audit)
	warned, versioned := read(labelWarn, &p.Warn)
	// Who enforces wants to know of templates whose pods will be refused.
	if enforced && !warned && p.Enforce.Level > p.Warn.Level {
		p.Warn.Level = p.Enforce.Level
		if !versioned {
			p.Warn.Version = p.Enforce.Version
		}
	}
	return p, errs
}
