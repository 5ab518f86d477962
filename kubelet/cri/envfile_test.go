package cri

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestEnvFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"A='1'":                         "A=1;",
		"A='1'\nB=''\n":                 "A=1;B=;",
		"# c\n\n  \t\n  A='1' \t\r\n":   "A=1;",
		"A='x\n# y\nB=z'\nC='='":        "A=x\n# y\nB=z;C==;",
		"A='$B \\ \"'":                  "A=$B \\ \";",
		"A='1'\nA='2'":                  "A=2;",
		"a.b-c='1'":                     "a.b-c=1;",
		"A=1":                           "line 1: the value must be enclosed in single quotes",
		"A=\"1\"":                       "line 1: the value must be enclosed in single quotes",
		"A= '1'":                        "line 1: the value must be enclosed in single quotes",
		"A ='1'":                        "line 1: want NAME='value'",
		"='1'":                          "line 1: want NAME='value'",
		"# c\nA\nB='1'":                 "line 2: want NAME='value'",
		"A='1\n2'\nB='":                 "line 3: the single quote is not closed",
		"A='1'2":                        "line 1: nothing may follow the closing quote",
		"A='1' # c":                     "line 1: nothing may follow the closing quote",
		"A='\x00'":                      "line 1: a value cannot contain a NUL",
		"export A='1'":                  "line 1: want NAME='value'",
		strings.Repeat("\n", 9) + "A='": "line 10: the single quote is not closed",
	} {
		vars, err := ParseEnvFile(text)
		got := ""
		for _, k := range slices.Sorted(maps.Keys(vars)) {
			got += k + "=" + vars[k] + ";"
		}
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A='1'\n# c\nB='x\ny'")
	f.Fuzz(func(t *testing.T, text string) {
		vars, err := ParseEnvFile(text)
		if err != nil {
			return
		}
		for k, v := range vars {
			if again, err := ParseEnvFile(k + "='" + v + "'"); err != nil || again[k] != v {
				t.Errorf("%q=%q is not read back: %v, %v", k, v, again, err)
			}
		}
	})
}

// TestFileKeyRef: what is there, what is not, and what may be missing.
func TestFileKeyRef(t *testing.T) {
	src := EnvSource{File: func(volume, path string) ([]byte, error) {
		if path != "there" {
			return nil, fmt.Errorf("opening: %w", fs.ErrNotExist)
		}
		return []byte("K='v'"), nil
	}}
	for _, c := range []struct {
		path, key string
		optional  bool
		want      string
	}{
		{"there", "K", false, "v"},
		{"there", "L", true, "unset"},
		{"there", "L", false, "couldn't find key L in env file there of volume vol"},
		{"gone", "K", true, "unset"},
		{"gone", "K", false, `env file "gone" of volume "vol": opening: file does not exist`},
	} {
		ref := &v1.FileKeySelector{VolumeName: "vol", Path: c.path, Key: c.key, Optional: &c.optional}
		_, vars, err := Env(&v1.Pod{}, &v1.Container{Env: []v1.EnvVar{{Name: "E", ValueFrom: &v1.EnvVarSource{FileKeyRef: ref}}}}, src)
		got, ok := vars["E"]
		if !ok {
			got = "unset"
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
