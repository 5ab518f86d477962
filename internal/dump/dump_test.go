package dump

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/netns"
)

func TestWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		interrupted int // answers before the last
		last        error
		want        string
		calls       int
	}{
		"at once":             {want: "whole", calls: 1},
		"after interruptions": {interrupted: Tries - 1, want: "whole", calls: Tries},
		"never":               {interrupted: Tries + 5, calls: Tries, last: netlink.ErrDumpInterrupted},
		"another error":       {interrupted: 2, last: os.ErrPermission, want: "whole", calls: 3},
	} {
		t.Run(name, func(t *testing.T) {
			calls, waited := 0, time.Duration(0)
			got, err := whole(func() (string, error) {
				calls++
				if calls <= tc.interrupted {
					return "part", fmt.Errorf("listing: %w", netlink.ErrDumpInterrupted)
				}
				return "whole", tc.last
			}, func(d time.Duration) { waited += d })
			if got != tc.want || !errors.Is(err, tc.last) || calls != tc.calls {
				t.Errorf("got %q, %v after %d calls; want %q, %v after %d", got, err, calls, tc.want, tc.last, tc.calls)
			}
			if waited > 5*time.Second {
				t.Errorf("waited %s in all", waited)
			}
		})
	}
}

// TestListsWhileLinksChange lists without pause while others make and remove links: each
// list is whole, and none fails.
func TestListsWhileLinksChange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	bridge := func(name string) *netlink.Bridge {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return &netlink.Bridge{LinkAttrs: a}
	}
	const lasting, tries = 150, 20 // enough that a list takes several datagrams
	if err := ns.Do(func() error {
		for i := range lasting {
			if err := netlink.LinkAdd(bridge(fmt.Sprintf("d%d", i))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		_ = ns.Do(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
					_ = netlink.LinkAdd(bridge("fleeting"))
					_ = netlink.LinkDel(bridge("fleeting"))
				}
			}
		})
	})
	interrupted := 0
	err = ns.Do(func() error {
		for range tries {
			if _, err := netlink.LinkList(); errors.Is(err, netlink.ErrDumpInterrupted) {
				interrupted++
			}
			links, err := Links()
			if err != nil {
				return err
			}
			seen := 0
			for _, l := range links {
				if l.Attrs().Name[0] == 'd' {
					seen++
				}
			}
			if seen != lasting {
				return fmt.Errorf("%d links of %d", seen, lasting)
			}
		}
		return nil
	})
	close(stop)
	changing.Wait()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d of %d plain lists were interrupted", interrupted, tries)
}

// TestNobodyListsDirectly: the packages that work with the kernel's network lists go
// through this one.
func TestNobodyListsDirectly(t *testing.T) {
	lists := regexp.MustCompile(`^(LinkList|AddrList|RouteList|RouteListFiltered|RouteListFilteredIter|NeighList|NeighListExecute|NeighProxyList|RuleList|RuleListFiltered|BridgeVlanList|ConntrackTableList|LinkByName|LinkByAlias|QdiscList|FilterList|ClassList|SocketGet|SocketDiag\w*)$`)
	for _, dir := range []string{"network", "proxy", "dns", "internal", "cmd", "cluster", "kubelet"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, filepath.Join("internal", "dump")) {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && lists.MatchString(s.Sel.Name) {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "netlink" {
						t.Errorf("%s calls netlink.%s, which may return half a list; use internal/dump", set.Position(n.Pos()), s.Sel.Name)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
