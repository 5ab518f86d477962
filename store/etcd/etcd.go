// Package etcd runs the embedded etcd member on which a cluster's state lies,
// and the etcd role with its standard flags.
//
//	Start ──check directory──▶ member ──ready──▶ *Server ──Stop──▶ all goroutines gone
//	                             ▲  │ failed
//	                             └──┘ started again with backoff
//
// Contract:
//   - With no listen URLs nothing is open: only this process can reach the data.
//   - Start returns when the member has a leader and answers, or with one line
//     that says why it cannot (directory in use or damaged, other cluster, newer version).
//   - An Ephemeral member never calls fsync: the data is lost with the machine.
//   - Writes end before the disk is full (Admit) and go on by themselves.
//   - A member that fails ends alone: calls to it fail with backend.ErrDown until
//     the next one runs; writes under way with backend.ErrUnsure, as its log may
//     have them. Where its hold on the files cannot be ended, only a new process
//     gets at the data: Done is closed, Err is ErrNewProcess, as soon as the disk
//     has room for that process to start.
package etcd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// TLS names the files of one TLS identity. A set CAFile makes client
// certificates mandatory.
type TLS struct{ CertFile, KeyFile, CAFile string }

func (t TLS) info() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: t.CertFile, KeyFile: t.KeyFile,
		TrustedCAFile: t.CAFile, ClientCertAuth: t.CAFile != "",
	}
}

// Config describes a member. Only Dir is needed.
type Config struct {
	Dir  string // data directory, made 0700
	Name string // member name, "default" when empty

	// Cluster is the identity of the cluster that the directory belongs to,
	// for instance the fingerprint of its CA. A directory that was started
	// with another one is refused; empty checks nothing.
	Cluster string

	// ListenClient and ListenPeer are URLs (https://127.0.0.1:2379,
	// unix:///run/hyperkube/etcd.sock). Plain http is refused.
	ListenClient, ListenPeer       []string
	AdvertiseClient, AdvertisePeer []string // default: the listen URLs
	InitialCluster                 string   // name=peerURL,…; default: this member alone
	Join                           bool     // the cluster exists already
	ClientTLS, PeerTLS             TLS

	Ephemeral bool  // no fsync
	Quota     int64 // bytes, default 8 GiB

	Log *slog.Logger
}

// A sole member is asked to lead as soon as it can and has nobody to hear from,
// so its raft clock may tick slowly. With peers the usual figures apply.
const (
	soleTickMs, soleElectionMs = 200, 1000
	peerTickMs, peerElectionMs = 100, 1000
)

func (c Config) embed(m *member) (*embed.Config, error) {
	if c.Dir == "" {
		return nil, errors.New("no data directory given")
	}
	cfg := embed.NewConfig()
	cfg.Dir = c.Dir
	if c.Name != "" {
		cfg.Name = c.Name
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(bridge(c.Log, m))
	cfg.EnableGRPCGateway = false
	cfg.UnsafeNoFsync = c.Ephemeral
	// Few raft entries are kept in memory: a single member has nobody to catch up.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 4000, 200
	cfg.BackendFreelistType = "map"
	cfg.BackendBatchInterval = 200 * time.Millisecond
	cfg.QuotaBackendBytes = 8 << 30
	if c.Quota > 0 {
		cfg.QuotaBackendBytes = c.Quota
	}
	cfg.AutoCompactionRetention = "0" // the stores do it, one for all
	cfg.TickMs, cfg.ElectionMs = soleTickMs, soleElectionMs
	if len(c.ListenPeer) > 0 {
		cfg.TickMs, cfg.ElectionMs = peerTickMs, peerElectionMs
		cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 5000, 2000
	}
	cfg.ClientTLSInfo, cfg.PeerTLSInfo = c.ClientTLS.info(), c.PeerTLS.info()
	if c.Join {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	return cfg, c.urls(cfg)
}

func (c Config) urls(cfg *embed.Config) error {
	var err error
	if cfg.ListenClientUrls, err = parseURLs(c.ListenClient); err != nil {
		return err
	}
	if cfg.ListenPeerUrls, err = parseURLs(c.ListenPeer); err != nil {
		return err
	}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	if len(c.AdvertiseClient) > 0 {
		if cfg.AdvertiseClientUrls, err = parseURLs(c.AdvertiseClient); err != nil {
			return err
		}
	}
	switch {
	case len(c.AdvertisePeer) > 0:
		if cfg.AdvertisePeerUrls, err = parseURLs(c.AdvertisePeer); err != nil {
			return err
		}
	case len(c.ListenPeer) > 0:
		cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	default: // a name for the member's own record; nothing listens there
		cfg.AdvertisePeerUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:2380"}}
	}
	cfg.InitialCluster = c.InitialCluster
	if cfg.InitialCluster == "" { // a cluster of its own, told from all others
		cfg.InitialClusterToken = rand.Text()
		cfg.InitialCluster = cfg.Name + "=" + cfg.AdvertisePeerUrls[0].String()
	}
	return nil
}

func parseURLs(in []string) ([]url.URL, error) {
	out := make([]url.URL, 0, len(in))
	for _, s := range in {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("url %q: %w", s, err)
		}
		if u.Scheme != "https" && u.Scheme != "unix" && u.Scheme != "unixs" {
			return nil, fmt.Errorf("url %q: only https and unix are served, nothing in plain", s)
		}
		out = append(out, *u)
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
