package main

import (
	"flag"
	"log/slog"
	"os"
	"strconv"

	"k8s.io/klog/v2"
)

// debugVerbosity is the -v from which the standard daemons tell how they decide.
const debugVerbosity = 4

// roleLog is the logger of a daemon whose -v is verbosity. client-go writes to
// klog, which is led here too.
func roleLog(role string, verbosity int) *slog.Logger {
	level := slog.LevelInfo
	if verbosity >= debugVerbosity {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("role", role)
	bridgeKlog(log, verbosity)
	return log
}

// bridgeKlog makes the lines of libraries that log through klog structured. klog
// is one for the whole process; so this is done here and nowhere else.
func bridgeKlog(log *slog.Logger, verbosity int) {
	klog.SetSlogLogger(log.With("from", "client-go"))
	f := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(f)
	_ = f.Set("v", strconv.Itoa(verbosity)) // a number is always accepted
}
