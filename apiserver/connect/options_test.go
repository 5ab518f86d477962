package connect

import (
	"net/url"
	"testing"
)

// TestLogNumbers: every option of a log that is a number, with odd ones. What is let through reaches the kubelet as it came.
func TestLogNumbers(t *testing.T) {
	const none, most, beyond = "-9223372036854775808", "9223372036854775807", "9223372036854775808"
	for name, least := range map[string]string{"tailLines": "0", "limitBytes": "1", "sinceSeconds": "1"} {
		for n, ok := range map[string]bool{least: true, "2": true, most: true, none: false, "-1": false, beyond: false, "1.5": false, "0x10": false, "x": false, "0": least == "0"} {
			o, err := parseLog(url.Values{name: {n}})
			if err == nil {
				err = validateLog(o).ToAggregate()
			}
			if (err == nil) != ok {
				t.Errorf("%s=%s: %v", name, n, err)
			}
			if err == nil && logQuery(o).Get(name) != n {
				t.Errorf("%s=%s reaches the kubelet as %s", name, n, logQuery(o).Encode())
			}
		}
	}
}
