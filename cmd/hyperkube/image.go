package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/runtime/images"
)

func imageCommand() *cobra.Command {
	var address string
	c := &cobra.Command{Use: "image", Short: "Build, import and list images without a registry"}
	dir := dataDir()
	c.PersistentFlags().StringVar(&dir, "data-dir", dir, "data directory of the cluster")
	c.PersistentFlags().StringVarP(&address, "address", "a", "", "containerd's socket (default: that of the cluster)")
	c.PersistentPreRunE = func(*cobra.Command, []string) error {
		if address != "" {
			return nil
		}
		resolved, err := cluster.ResolveDataDir(dir)
		if err != nil {
			return err
		}
		address = cluster.PathsOf(resolved).Socket
		return nil
	}
	c.AddCommand(imageImport(&address), imageList(&address), imageBuild(&address), imageOwn(&address))
	return c
}

func imageImport(address *string) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE...",
		Short: "Import docker or OCI archives; - is standard input",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := images.Open(*address)
			if err != nil {
				return err
			}
			defer s.Close()
			for _, name := range args {
				if err := importFile(c, s, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// imageOwn imports the product's own images, as `up` does.
func imageOwn(address *string) *cobra.Command {
	return &cobra.Command{
		Use:   "own",
		Short: "Make and import the images of this program: its own and pods' sandboxes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := images.Open(*address)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := (images.Own{PauseRef: cluster.PauseImage, HyperkubeRef: cluster.HyperkubeImage, Binary: "/proc/self/exe", Scratch: os.TempDir()}).Ensure(c.Context(), s); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), cluster.PauseImage+"\n"+cluster.HyperkubeImage)
			return nil
		},
	}
}

func importFile(c *cobra.Command, s *images.Store, name string) error {
	in := io.NopCloser(c.InOrStdin())
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		in = f
	}
	defer in.Close()
	refs, err := s.Import(c.Context(), in, images.ImportOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintln(c.OutOrStdout(), strings.Join(refs, "\n"))
	return nil
}

func imageList(address *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the images the kubelet can use",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := images.Open(*address)
			if err != nil {
				return err
			}
			defer s.Close()
			all, err := s.List(c.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "IMAGE\tDIGEST\tSIZE\tPINNED")
			for _, i := range all {
				fmt.Fprintf(w, "%s\t%.19s\t%.1f MiB\t%v\n", i.Name, i.Digest, float64(i.Size)/(1<<20), i.Pinned)
			}
			return w.Flush()
		},
	}
}

func imageBuild(address *string) *cobra.Command {
	var ref, out, user, workdir string
	var entrypoint, cmd, env []string
	c := &cobra.Command{
		Use:   "build -t NAME:TAG DIR",
		Short: "Make an image of one layer from a folder",
		Long:  "Make an image of one layer from a folder that holds a root file system, and import it, or write it with -o.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			img := images.Image{Ref: ref, Tree: images.Tree{}, Config: ocispec.ImageConfig{
				Entrypoint: entrypoint, Cmd: cmd, Env: env, User: user, WorkingDir: workdir,
			}}
			if ref == "" || !strings.Contains(ref, "/") || !strings.Contains(ref, ":") {
				return fmt.Errorf("-t %q: want a full name such as example.com/app:v1", ref)
			}
			if err := img.Tree.AddDir("/", args[0]); err != nil {
				return fmt.Errorf("reading %s: %w", args[0], err)
			}
			if out != "" {
				return buildToFile(out, img)
			}
			s, err := images.Open(*address)
			if err != nil {
				return err
			}
			defer s.Close()
			return s.BuildAndImport(c.Context(), img, os.TempDir(), images.ImportOptions{})
		},
	}
	f := c.Flags()
	f.StringVarP(&ref, "tag", "t", "", "full name and tag")
	f.StringVarP(&out, "output", "o", "", "write an OCI archive instead of importing")
	f.StringSliceVar(&entrypoint, "entrypoint", nil, "words of the entry point, comma-separated")
	f.StringSliceVar(&cmd, "cmd", nil, "words of the default command, comma-separated")
	f.StringSliceVar(&env, "env", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "environment as NAME=value")
	f.StringVar(&user, "user", "", "user or user:group")
	f.StringVar(&workdir, "workdir", "", "working directory")
	return c
}

func buildToFile(path string, img images.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := images.Build(f, img, os.TempDir()); err != nil {
		f.Close()
		os.Remove(path)
		return err
	}
	return f.Close()
}
