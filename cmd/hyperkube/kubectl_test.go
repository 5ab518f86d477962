package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// TestMain makes the test the program itself, when it is asked to: the client exits and
// keeps state, so that each run of it is a process.
func TestMain(m *testing.M) {
	switch os.Getenv("TEST_RUN_AS") {
	case "":
		os.Exit(m.Run())
	case "hyperkube":
		main()
	case "quiet":
		if err := quietKlog(os.Stderr); err != nil {
			panic(err)
		}
		klog.Background().Info("Warning: watch ended with error")
		klog.Warning("a warning")
		klog.Error("an error")
		klog.Flush()
	}
	os.Exit(0)
}

func runAs(t *testing.T, as string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = append([]string{"hyperkube"}, args...)
	cmd.Env = append(os.Environ(), "TEST_RUN_AS="+as, "HOME="+t.TempDir())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run() // the code tells
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// TestKubectlGlobalFlags: the flags of the standard program are there, and work.
func TestKubectlGlobalFlags(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/version" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write([]byte(`{"major":"1","minor":"37","gitVersion":"v1.37.2"}`))
	}))
	defer api.Close()
	server := "--server=" + api.URL
	for name, c := range map[string]struct {
		args []string
		out  string
		err  string
		not  string // on stderr
		code int
	}{
		"options":      {[]string{"kubectl", "options"}, "--vmodule", "", "", 0},
		"options log":  {[]string{"kubectl", "options"}, "--log-flush-frequency", "", "", 0},
		"-v":           {[]string{"kubectl", "get", "--raw=/version", server, "-v=6"}, `"gitVersion":"v1.37.2"`, "/version", "", 0},
		"-v before":    {[]string{"kubectl", "-v", "6", "get", "--raw=/version", server}, `"gitVersion":"v1.37.2"`, "/version", "", 0},
		"no -v":        {[]string{"kubectl", "get", "--raw=/version", server}, `"gitVersion":"v1.37.2"`, "", "/version", 0},
		"--vmodule":    {[]string{"kubectl", "get", "--raw=/version", server, "--vmodule=round_trippers=6"}, `"gitVersion":"v1.37.2"`, "", "", 0},
		"underscores":  {[]string{"kubectl", "get", "--all_namespaces", "--raw", "/version", server}, "", "", "unknown flag", -1},
		"unknown":      {[]string{"kubectl", "get", "--bogus"}, "", "error: unknown flag: --bogus", "hyperkube:", 1},
		"unknown verb": {[]string{"kubectl", "bogus"}, "", `error: unknown command "bogus"`, "hyperkube:", 1},
	} {
		out, errOut, code := runAs(t, "hyperkube", c.args...)
		if !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) || c.not != "" && strings.Contains(errOut, c.not) || c.code >= 0 && code != c.code {
			t.Errorf("%s: code %d\nout: %s\nerr: %s", name, code, out, errOut)
		}
	}
}

// TestKubectlIsQuiet: what the library tells for information stays off the terminal, each
// warning and error is there once.
func TestKubectlIsQuiet(t *testing.T) {
	out, errOut, _ := runAs(t, "quiet")
	if out != "" || strings.Contains(errOut, "watch ended") || strings.Count(errOut, "a warning") != 1 || strings.Count(errOut, "an error") != 1 {
		t.Errorf("out %q, err %q", out, errOut)
	}
}
