package runtime

import (
	"os"
	"strings"
)

// mayLowerOOMScore tries what every container start needs: writing a lower
// value to oom_score_adj. Nested and rootless hosts lack CAP_SYS_RESOURCE and
// refuse it. The score of this process is put back.
func mayLowerOOMScore() bool {
	const path = "/proc/self/oom_score_adj"
	old, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	if err := os.WriteFile(path, []byte("-999"), 0); err != nil {
		return false
	}
	return os.WriteFile(path, []byte(strings.TrimSpace(string(old))), 0) == nil
}
