package cri

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// fileKey is the value of a key in a file that another container of the pod has written to a volume.
func fileKey(ref *v1.FileKeySelector, src EnvSource) (string, bool, error) {
	optional := ref.Optional != nil && *ref.Optional
	if src.File == nil {
		return "", false, errors.New("files of volumes cannot be read here")
	}
	data, err := src.File(ref.VolumeName, ref.Path)
	if errors.Is(err, fs.ErrNotExist) && optional {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("env file %q of volume %q: %w", ref.Path, ref.VolumeName, err)
	}
	vars, err := ParseEnvFile(string(data))
	if err != nil {
		return "", false, fmt.Errorf("env file %q of volume %q: %w", ref.Path, ref.VolumeName, err)
	}
	if v, ok := vars[ref.Key]; ok {
		return v, true, nil
	}
	if optional {
		return "", false, nil
	}
	return "", false, fmt.Errorf("couldn't find key %v in env file %v of volume %v", ref.Key, ref.Path, ref.VolumeName)
}

// ParseEnvFile reads the part of the shell's language that env files are written in: NAME='value', where the value
// has no quote in it and may go over several lines, lines that begin with #, and empty ones. The last of two values
// counts.
func ParseEnvFile(text string) (map[string]string, error) {
	vars, line := map[string]string{}, 1
	bad := func(why string) (map[string]string, error) { return nil, fmt.Errorf("line %d: %s", line, why) }
	for text != "" {
		now, rest, _ := strings.Cut(text, "\n")
		if trimmed := strings.TrimLeft(now, " \t"); strings.TrimRight(trimmed, " \t\r") == "" || trimmed[0] == '#' {
			text, line = rest, line+1
			continue
		}
		name, _, ok := strings.Cut(now, "=")
		name = strings.TrimLeft(name, " \t")
		if !ok || !envFileName(name) {
			return bad("want NAME='value'")
		}
		value, ok := strings.CutPrefix(text[strings.IndexByte(text, '=')+1:], "'")
		if !ok {
			return bad("the value must be enclosed in single quotes")
		}
		end := strings.IndexByte(value, '\'')
		if end < 0 {
			return bad("the single quote is not closed")
		}
		if strings.IndexByte(value[:end], 0) >= 0 {
			return bad("a value cannot contain a NUL")
		}
		after, rest, _ := strings.Cut(value[end+1:], "\n")
		if strings.Trim(after, " \t\r") != "" {
			return bad("nothing may follow the closing quote")
		}
		vars[name] = value[:end]
		text, line = rest, line+1+strings.Count(value[:end], "\n")
	}
	return vars, nil
}

// envFileName tells whether a key is printable ASCII without blanks.
func envFileName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '\'' || r == '"' })
}
