package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"hyperkube/store/backend"
)

// cutOff is what a first start leaves that is killed when etcd has made its log and not yet
// written to it.
func cutOff(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	snap := filepath.Join(dir, "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	who, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: new(uint64(1)), ClusterID: new(uint64(2))})
	if err != nil {
		t.Fatal(err)
	}
	w, err := wal.Create(zap.NewNop(), filepath.Join(dir, "member", "wal"), who)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCutOff: a first start that was interrupted is begun anew; such a log has no voters, so
// that its member would wait for a leader for ever.
func TestCutOff(t *testing.T) {
	s, err := begin(t, Config{Dir: cutOff(t), Cluster: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if _, ok, err := backend.NewEmbedded(s, true, true).Write(t.Context(), backend.Write{Key: "/k", Value: []byte("v")}); !ok || err != nil {
		t.Error(ok, err)
	}
}

// TestEmptied: the same log in the directory of a member that has served is a loss, and told.
func TestEmptied(t *testing.T) {
	dir := cutOff(t)
	if err := os.WriteFile(filepath.Join(dir, identity), []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := begin(t, Config{Dir: dir, Cluster: "mine"})
	if err == nil {
		s.Stop()
		t.Fatal("started")
	}
	var unusable *UnusableError
	if !errors.As(err, &unusable) || !strings.Contains(err.Error(), "is emptied") || !exists(filepath.Join(dir, "member", "wal")) {
		t.Error(err)
	}
}
