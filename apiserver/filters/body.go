package filters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// intake reads the bodies of requests before they take a seat, and bounds what is
// on its way in and held: by account, and for all that nothing is kept for.
type intake struct {
	mu    sync.Mutex
	bytes [classes]int64
	users map[string]*held // by account
}

// held is what one account's requests have here.
type held struct {
	arriving int
	bytes    int64
	requests int
}

func newIntake() *intake { return &intake{users: map[string]*held{}} }

var errFull = errors.New("too many bytes of bodies are held")

func (in *intake) wrap(m *metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info := request.InfoFrom(r.Context())
			if r.Body == nil || r.ContentLength == 0 || LongRunning(info) && !answersOnly(info) {
				next.ServeHTTP(w, r)
				return
			}
			u := actor(r.Context())
			b := &body{in: in, user: u, who: account(u)}
			if !in.arrive(b) {
				refuse(w, r, m)
				return
			}
			defer in.release(b)
			err := b.arrive(w, r, info)
			in.arrived(b)
			switch {
			case errors.Is(err, errFull):
				refuse(w, r, m)
			case err != nil:
				codec.WriteError(w, r, unreadable(r, err))
			default:
				r.Body = io.NopCloser(bytes.NewReader(b.data))
				next.ServeHTTP(w, r)
			}
		})
	}
}

func unreadable(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		return apierrors.NewTimeoutError("the request's body did not come in time", 1)
	}
	if apierrors.ReasonForError(err) != "" {
		return err
	}
	return apierrors.NewBadRequest("reading the body: " + err.Error())
}

// body is one that comes in.
type body struct {
	in      *intake
	user    *request.User
	who     string // the account
	data    []byte
	charged int64
}

// answersOnly requests take long, and none of that time is for their body.
func answersOnly(i *request.Info) bool { return i.Verb == "watch" || i.Subresource == "log" }

// arrive reads the body. Where the request has no timeout its body has one: the server
// would wait for the rest of it before it answers.
func (b *body) arrive(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	if !LongRunning(info) {
		return b.read(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), bodyTime)
	defer cancel()
	defer boundBody(ctx, w, r, bodyTime)()
	if err := b.read(r); err != nil {
		return err
	}
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // fails only on test writers
	}
	return nil
}

// bodyTime is how long the body of a request that has no timeout may take.
const bodyTime = 30 * time.Second

// read takes in all of it. Memory grows with what has come, not with what was announced.
func (b *body) read(r *http.Request) error {
	tooLarge := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", bounds.Body))
	if r.ContentLength > bounds.Body {
		return tooLarge
	}
	size := int64(4 << 10)
	if n := r.ContentLength + 1; n > 1 && n < 64<<10 { // one more, so that the end is seen
		size = n
	}
	for {
		if err := b.grow(size); err != nil {
			return err
		}
		for len(b.data) < cap(b.data) {
			n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
			b.data = b.data[:len(b.data)+n]
			switch {
			case len(b.data) > bounds.Body:
				return tooLarge
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
		}
		size = min(2*int64(cap(b.data)), bounds.Body+1)
	}
}

func (b *body) grow(size int64) error {
	if !b.in.charge(b, size-b.charged) {
		return errFull
	}
	data := make([]byte, len(b.data), size)
	copy(data, b.data)
	b.data = data
	return nil
}

func (in *intake) arrive(b *body) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	h := in.users[b.who]
	if h == nil {
		h = &held{}
		in.users[b.who] = h
	}
	if h.arriving >= bounds.Bodies && classOf(b.user) != masters {
		return false
	}
	h.arriving++
	h.requests++
	return true
}

func (in *intake) arrived(b *body) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.users[b.who].arriving--
}

func (in *intake) charge(b *body, n int64) bool {
	c := classOf(b.user)
	all, one := int64(bounds.BodyBytesAll), int64(bounds.BodyBytesUser)
	if c == masters {
		one = all
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	h := in.users[b.who]
	if h.bytes+n > one || in.bytes[c]+n > all || c == others && h.bytes+n > all-in.bytes[c] {
		return false
	}
	h.bytes += n
	in.bytes[c] += n
	b.charged += n
	return true
}

func (in *intake) release(b *body) {
	in.mu.Lock()
	defer in.mu.Unlock()
	h := in.users[b.who]
	h.bytes -= b.charged
	in.bytes[classOf(b.user)] -= b.charged
	if h.requests--; h.requests == 0 {
		delete(in.users, b.who)
	}
}
