package bounds

import (
	"math"
	"time"
)

// longest is how many seconds a time.Duration holds, some 292 years.
const longest = math.MaxInt64 / int64(time.Second)

// Seconds is a number of seconds that came from outside as a duration, which ends where a
// duration does: nobody waits until then, but what is beyond would come out with the other
// sign.
func Seconds(n int64) time.Duration {
	return time.Duration(min(max(n, -longest), longest)) * time.Second
}
