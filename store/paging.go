package store

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokenVersion marks the form of the token, the one that all servers use.
const tokenVersion = "meta.k8s.io/v1"

// restartRevision in a token asks for the rest of the list as it is now.
const restartRevision = -1

// token is a continue token: the revision of the first page and the key after
// the last one delivered, relative to the collection.
type token struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"`
}

func (t token) String() string {
	t.Version = tokenVersion
	b, err := json.Marshal(t)
	if err != nil { // two strings and a number always encode
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseToken(s string) (token, error) {
	var t token
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return t, fmt.Errorf("%w: not base64", ErrBadToken)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("%w: not JSON", ErrBadToken)
	}
	switch {
	case t.Version != tokenVersion:
		return t, fmt.Errorf("%w: unknown version %q", ErrBadToken, t.Version)
	case t.Revision <= 0 && t.Revision != restartRevision:
		return t, fmt.Errorf("%w: revision %d", ErrBadToken, t.Revision)
	case !strings.HasSuffix(t.Start, "\x00"):
		return t, fmt.Errorf("%w: bad start key", ErrBadToken)
	}
	return t, nil
}

// start is the last key that was delivered.
func (t token) start(namespaced bool, namespace string) (Key, error) {
	path := strings.TrimSuffix(t.Start, "\x00")
	if strings.Contains(path, "\x00") {
		return Key{}, fmt.Errorf("%w: bad start key", ErrBadToken)
	}
	if !namespaced {
		if path == "" || strings.Contains(path, "/") {
			return Key{}, fmt.Errorf("%w: bad start key", ErrBadToken)
		}
		return Key{Name: path}, nil
	}
	ns, n, ok := strings.Cut(path, "/")
	if !ok || ns == "" || n == "" || strings.Contains(n, "/") {
		return Key{}, fmt.Errorf("%w: bad start key", ErrBadToken)
	}
	if namespace != "" && ns != namespace {
		return Key{}, fmt.Errorf("%w: it belongs to another namespace", ErrBadToken)
	}
	return Key{Namespace: ns, Name: n}, nil
}

// ExpiredTokenError says that the revision of a continue token is gone. With
// Continue the list can go on from the same key at the present revision, at
// the price of being inconsistent.
type ExpiredTokenError struct{ Continue string }

func (e *ExpiredTokenError) Error() string { return "continue token: " + ErrExpired.Error() }

// Is makes the error an ErrExpired.
func (e *ExpiredTokenError) Is(target error) bool { return target == ErrExpired }

func expired(err error, from Key) error {
	if from.Name == "" || !errors.Is(err, ErrExpired) {
		return err
	}
	return &ExpiredTokenError{token{Revision: restartRevision, Start: from.path() + "\x00"}.String()}
}

const (
	keptMax  = 64
	keptSpan = 5 * time.Minute
)

// kept are snapshots that later pages will ask for. They share all they can
// with the present ones; the oldest goes when there are too many, those go that
// would be all that keeps more than bounds.HistoryBytes of a collection's past,
// and all go when nobody asked for a while. Pages are read from etcd then.
type kept struct {
	mu    sync.Mutex
	list  []keptSnapshot // least recently used first
	timer *time.Timer
}

type keptSnapshot struct {
	c    *collection
	rev  int64
	snap *snapshot
	used time.Time
}

func (k *kept) put(c *collection, rev int64, s *snapshot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.touch(c, rev) != nil {
		return
	}
	if len(k.list) == keptMax {
		k.list = append(k.list[:0], k.list[1:]...)
	}
	k.list = append(k.list, keptSnapshot{c, rev, s, time.Now()})
	if k.timer == nil {
		k.timer = time.AfterFunc(keptSpan, k.expire)
	}
}

// drop forgets the snapshots of a collection from before so many of its bytes were replaced.
func (k *kept) drop(c *collection, before int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = slices.DeleteFunc(k.list, func(s keptSnapshot) bool { return s.c == c && s.snap.before < before })
}

func (k *kept) get(c *collection, rev int64) *snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.touch(c, rev)
}

func (k *kept) touch(c *collection, rev int64) *snapshot {
	for i, s := range k.list {
		if s.c == c && s.rev == rev {
			s.used = time.Now()
			k.list = append(append(k.list[:i], k.list[i+1:]...), s)
			return s.snap
		}
	}
	return nil
}

func (k *kept) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := time.Now().Add(-keptSpan)
	n := 0
	for n < len(k.list) && !k.list[n].used.After(old) {
		n++
	}
	rest := copy(k.list, k.list[n:])
	clear(k.list[rest:])
	k.list = k.list[:rest]
	if k.timer == nil {
		return
	}
	if rest == 0 {
		k.timer = nil
		return
	}
	k.timer.Reset(time.Until(k.list[0].used.Add(keptSpan)))
}

func (k *kept) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
	k.list = nil
}
