package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// kubectlCommand hands everything after "kubectl" to the standard client, which
// finds the kubeconfig of `hyperkube up` when no other is named.
func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl",
		Short:              "The standard Kubernetes client",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if os.Getenv("KUBECONFIG") == "" {
				if path := foundKubeconfig(); path != "" {
					os.Setenv("KUBECONFIG", path)
				}
			}
			// As the standard program: it adds -v, --vmodule and the like, prints errors in
			// kubectl's words and ends with kubectl's codes.
			cmdutil.CheckErr(cli.RunNoErrOutput(kubectl(args, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})))
			return nil
		},
	}
}

func kubectl(args []string, streams genericiooptions.IOStreams) *cobra.Command {
	k := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		PluginHandler: cmd.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     append([]string{"kubectl"}, args...),
		ConfigFlags:   genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(300).WithDiscoveryQPS(50),
		IOStreams:     streams,
	})
	k.SetArgs(args)
	before := k.PersistentPreRunE
	k.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		if err := quietKlog(streams.ErrOut); err != nil {
			return err
		}
		if before == nil {
			return nil
		}
		return before(c, args)
	}
	return k
}

// quietKlog keeps what the client library tells for information, such as that a watch
// ended, off the terminal of a user who did not ask for it with -v. Warnings and errors stay.
func quietKlog(errOut io.Writer) error {
	if klog.V(1).Enabled() {
		return nil
	}
	klog.LogToStderr(false)
	// A line goes to the outputs of its severity and of all below.
	for _, severity := range []string{"INFO", "ERROR", "FATAL"} {
		klog.SetOutputBySeverity(severity, io.Discard)
	}
	klog.SetOutputBySeverity("WARNING", errOut)
	f := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(f)
	if err := f.Set("stderrthreshold", "FATAL"); err != nil {
		return fmt.Errorf("setting what is logged: %w", err)
	}
	return nil
}
