package etcd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Role is the etcd role: a member described by the standard flags of etcd,
// ETCD_* variables or --config-file, running until ctx ends. Like the standard
// daemon it serves plain http where its flags say so.
func Role(ctx context.Context, args []string, log *slog.Logger) error {
	m := newMember()
	cfg, err := parseFlags(args, log, m)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if err := prepareDir(cfg.Dir, "", false); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if err := startMember(ctx, m, cfg, false); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("etcd: %w", err)
	}
	log.Info("etcd is ready", "data-dir", cfg.Dir, "name", cfg.Name)
	go m.watch(ctx.Done())
	select {
	case <-ctx.Done():
		m.close(orderlyStop)
		return nil
	case <-m.failed:
		m.close(closeLimit)
		return fmt.Errorf("etcd: member failed: %w", m.cause)
	}
}

// printFlags is flag.PrintDefaults for flags whose zero values cannot be printed, as one
// of etcd's is.
func printFlags(w io.Writer, fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		name, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s %s\n    \t%s", f.Name, name, strings.ReplaceAll(usage, "\n", "\n    \t"))
		if f.DefValue != "" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// parseFlags makes the configuration that the standard daemon would make.
func parseFlags(args []string, log *slog.Logger, m *member) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cluster := cfg.InitialCluster
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	cfg.AddFlags(fs)
	state := flags.NewSelectiveStringValue(embed.ClusterStateFlagNew, embed.ClusterStateFlagExisting)
	fs.Var(state, "initial-cluster-state", "'new' for a new cluster, 'existing' when joining one")
	file := fs.String("config-file", "", "configuration file; other flags and variables are ignored with it")
	fs.SetOutput(io.Discard) // an error is one line, not the list of all flags
	fs.Usage = func() {}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printFlags(os.Stdout, fs)
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q is not a flag", fs.Arg(0))
	}
	if *file != "" {
		var err error
		if cfg, err = embed.ConfigFromFile(*file); err != nil {
			return nil, err
		}
	} else if err := fromFlags(cfg, fs); err != nil {
		return nil, err
	} else {
		cfg.ClusterState = state.String()
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(bridge(log, m))
	if cfg.WarningUnaryRequestDuration == 0 {
		cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	}
	if _, err := cfg.UpdateDefaultClusterFromName(cluster); err != nil {
		log.Debug("no default host to advertise", "error", err)
	}
	if cfg.Dir == "" {
		cfg.Dir = cfg.Name + ".etcd"
	}
	return cfg, nil
}

// fromFlags copies the values that embed leaves in the flag set.
func fromFlags(cfg *embed.Config, fs *flag.FlagSet) error {
	if err := flags.SetFlagsFromEnv(zap.NewNop(), "ETCD", fs); err != nil {
		return err
	}
	cfg.ListenPeerUrls = flags.UniqueURLsFromFlag(fs, "listen-peer-urls")
	cfg.AdvertisePeerUrls = flags.UniqueURLsFromFlag(fs, "initial-advertise-peer-urls")
	cfg.ListenClientUrls = flags.UniqueURLsFromFlag(fs, "listen-client-urls")
	cfg.ListenClientHttpUrls = flags.UniqueURLsFromFlag(fs, "listen-client-http-urls")
	cfg.AdvertiseClientUrls = flags.UniqueURLsFromFlag(fs, "advertise-client-urls")
	cfg.ListenMetricsUrls = flags.UniqueURLsFromFlag(fs, "listen-metrics-urls")
	cfg.DiscoveryCfg.Endpoints = flags.UniqueStringsFromFlag(fs, "discovery-endpoints")
	cfg.CORS = flags.UniqueURLsMapFromFlag(fs, "cors")
	cfg.HostWhitelist = flags.UniqueStringsMapFromFlag(fs, "host-whitelist")
	cfg.ClientTLSInfo.AllowedHostnames = flags.StringsFromFlag(fs, "client-cert-allowed-hostname")
	cfg.PeerTLSInfo.AllowedCNs = flags.StringsFromFlag(fs, "peer-cert-allowed-cn")
	cfg.PeerTLSInfo.AllowedHostnames = flags.StringsFromFlag(fs, "peer-cert-allowed-hostname")
	cfg.CipherSuites = flags.StringsFromFlag(fs, "cipher-suites")
	cfg.MaxConcurrentStreams = flags.Uint32FromFlag(fs, "max-concurrent-streams")
	cfg.LogOutputs = flags.UniqueStringsFromFlag(fs, "log-outputs")
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) {
		set[f.Name] = true
		cfg.FlagsExplicitlySet[f.Name] = true
	})
	if set["listen-client-urls"] && !set["advertise-client-urls"] {
		cfg.AdvertiseClientUrls = nil
	}
	discovered := cfg.DNSCluster != "" || cfg.DNSClusterServiceName != "" || len(cfg.DiscoveryCfg.Endpoints) > 0
	if discovered && !set["initial-cluster"] {
		cfg.InitialCluster = ""
	}
	return nil
}
