package authn

import (
	"encoding/base64"
	"net/http"
	"strings"
)

func subprotocolToken(r *http.Request) string {
	const name = "Sec-Websocket-Protocol"
	var token string
	var rest []string
	for _, line := range r.Header.Values(name) {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			enc, ok := strings.CutPrefix(p, websocketToken)
			if !ok {
				rest = append(rest, p)
				continue
			}
			if raw, err := base64.RawURLEncoding.DecodeString(enc); err == nil && token == "" {
				token = string(raw)
			}
		}
	}
	// A token without another protocol is not taken: the server would have to
	// answer with the token's as the chosen one.
	if token == "" || len(rest) == 0 {
		return ""
	}
	r.Header.Set(name, strings.Join(rest, ","))
	return token
}
