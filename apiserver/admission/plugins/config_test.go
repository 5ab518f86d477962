package plugins_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"hyperkube/apiserver/admission/plugins"
	"hyperkube/apiserver/admission/podsecurity"
)

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	const own = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}, exemptions: {namespaces: [kube-system]}}"
	write("own.yaml", own)
	latest := podsecurity.Latest
	want := podsecurity.Config{Namespaces: []string{"kube-system"}, Defaults: podsecurity.Policy{
		Enforce: podsecurity.Bar{Level: podsecurity.Baseline, Version: 30}, Audit: podsecurity.Bar{Version: latest}, Warn: podsecurity.Bar{Level: podsecurity.Restricted, Version: latest}}}
	for _, text := range []string{"- {name: PodSecurity, path: own.yaml}", "- {name: PodSecurity, path: " + dir + "/own.yaml}", "- name: PodSecurity\n  configuration: " + own} {
		c, err := plugins.LoadConfig(write("c", head+text))
		if err != nil || c.PodSecurity == nil || !reflect.DeepEqual(*c.PodSecurity, want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	bad := func(change, to string) string {
		return head + "- name: PodSecurity\n  configuration: " + strings.Replace(own, change, to, 1)
	}
	for text, want := range map[string]string{
		"kind: Pod": "kind AdmissionConfiguration",
		head + "- {name: ResourceQuota, path: own.yaml}":    `not "ResourceQuota"`,
		head + "- {name: PodSecurity, path: none.yaml}":     "none.yaml: no such file",
		head + "- {name: PodSecurity}":                      "neither path nor configuration",
		bad("baseline", "basic"):                            `defaults.enforce: "basic" must be one of`,
		bad("v1.30", "v1.030"):                              `defaults.enforce-version: "v1.030" must be`,
		bad("kube-system", "a, b, a"):                       `exemptions.namespaces[2]: "a" is there twice`,
		bad("kube-system", "A"):                             `exemptions.namespaces[0]: "A"`,
		bad("namespaces: [kube-system]", `usernames: [""]`): "exemptions.usernames[0]: must not be empty",
		bad("exemptions", "exceptions"):                     "exceptions",
		bad("config.k8s.io/v1,", "config.k8s.io/v9,"):       "PodSecurityConfiguration, not",
	} {
		if _, err := plugins.LoadConfig(write("c", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}
