package authn

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"hyperkube/apiserver/request"
)

// tokenFile holds static tokens by their hash, so that looking one up takes the
// same time whatever the token is.
type tokenFile struct {
	users map[[sha256.Size]byte]*request.User
	auds  []string
}

// loadTokenFile reads lines of: token,user,uid[,"group1,group2"].
func loadTokenFile(name string, auds []string) (*tokenFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading token file: %w", err)
	}
	defer f.Close()
	t, err := parseTokens(f)
	if err != nil {
		return nil, fmt.Errorf("token file %s: %w", name, err)
	}
	t.auds = auds
	return t, nil
}

func parseTokens(r io.Reader) (*tokenFile, error) {
	t := &tokenFile{users: map[[sha256.Size]byte]*request.User{}}
	lines := csv.NewReader(r)
	lines.FieldsPerRecord = -1
	lines.Comment = '#'
	for {
		rec, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := lines.FieldPos(0)
		if len(rec) < 3 {
			return nil, fmt.Errorf("line %d has %d columns, want token, user, uid and optional groups", line, len(rec))
		}
		for i := range rec {
			rec[i] = strings.TrimSpace(rec[i])
		}
		if rec[0] == "" {
			return nil, fmt.Errorf("line %d has an empty token", line)
		}
		u := &request.User{Name: rec[1], UID: rec[2]}
		if len(rec) > 3 {
			u.Groups = slices.DeleteFunc(strings.Split(rec[3], ","), func(g string) bool { return strings.TrimSpace(g) == "" })
		}
		u.Groups = append(u.Groups, groupAuthed)
		t.users[sha256.Sum256([]byte(rec[0]))] = u
	}
}

// Verify implements TokenVerifier.
func (t *tokenFile) Verify(_ context.Context, token string, auds []string) (*request.User, []string, bool, error) {
	u, ok := t.users[sha256.Sum256([]byte(token))]
	if !ok {
		return nil, nil, false, nil
	}
	matched := t.auds
	if len(auds) > 0 {
		matched = slices.DeleteFunc(slices.Clone(auds), func(a string) bool { return !slices.Contains(t.auds, a) })
		if len(matched) == 0 {
			return nil, nil, false, nil
		}
	}
	return u, matched, true, nil
}
