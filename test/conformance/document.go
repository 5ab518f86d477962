package conformance

import (
	"fmt"
	"strings"
)

const preamble = `# Conformance

What a Kubernetes must do is published as a list of behaviours, each with a test name, a code name and a description
(` + "`test/conformance/conformance.yaml`" + `). ` + "`test/conformance`" + ` is our own driver for them: each behaviour is a function written from its
description, on client-go, and runs against any cluster.

    make conformance                          # on a cluster of its own
    KUBECONFIG=~/.kube/config make conformance   # on yours

The report ends with "covered C / passed P / of N". Environment: ` + "`CONFORMANCE_FOCUS`" + ` (a regular expression over test and code
names), ` + "`CONFORMANCE_REPORT`" + ` (a file for the report), ` + "`CONFORMANCE_KUBECTL`" + ` (the client to test), ` + "`CONFORMANCE_BUSYBOX`, `CONFORMANCE_NGINX`,\n`CONFORMANCE_NGINX_NEXT`, `CONFORMANCE_NETTOOL`" + ` (images; ` + "`make images`" + ` builds the default ones).

To add one: write the function in the file of its area, add its line to the area's list, and run
` + "`go test ./test/conformance -run TestDocument -update`" + `, which writes this page.

This is our reading of the descriptions, not the official suite, and not a certification. Where a test asserts less than its
description: "never restarts" and "stays unready" are watched for six seconds; "multiple restarts" waits for three of them; the garbage
collector's owners have ten dependents; basic preemption fills an extended resource instead of the CPU; resizing in place is judged
by spec, status and restart counts, not by the cgroup's files.
`

// document is docs/conformance.md.
func document(entries []entry, list []behaviour) (string, error) {
	covered := map[string]bool{}
	for _, b := range list {
		e, err := find(entries, b)
		if err != nil {
			return "", err
		}
		if covered[e.Code] {
			return "", fmt.Errorf("%q is listed twice", b.name)
		}
		covered[e.Code] = true
	}
	var areas []string
	total, done, missing := map[string]int{}, map[string]int{}, map[string][]string{}
	have := map[string][]string{}
	for _, e := range entries {
		a := e.area()
		if total[a] == 0 {
			areas = append(areas, a)
		}
		total[a]++
		if covered[e.Code] {
			done[a]++
			have[a] = append(have[a], e.Name)
		} else {
			missing[a] = append(missing[a], e.Name)
		}
	}
	var b strings.Builder
	b.WriteString(preamble)
	fmt.Fprintf(&b, "\nCovered: %d of %d.\n\n| area | covered | of |\n|---|---|---|\n", len(covered), len(entries))
	for _, a := range areas {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", a, done[a], total[a])
	}
	for _, a := range areas {
		fmt.Fprintf(&b, "\n## %s\n", a)
		section(&b, "Covered", have[a])
		section(&b, "Not yet", missing[a])
	}
	return b.String(), nil
}

func section(b *strings.Builder, title string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, n := range names {
		fmt.Fprintf(b, "- %s\n", n)
	}
}
