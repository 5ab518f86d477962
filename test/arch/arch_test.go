// Package arch checks the shape of the house: which folder may import which,
// that every package says its contract, and what no package may contain. The
// rules stand in docs/architecture.md §2.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "hyperkube/"

// layers: a folder may import folders of lower layers, and its own children.
// Folders of one layer meet only through the API.
var layers = map[string]int{
	"cmd":     5,
	"cluster": 4, "bootstrap": 4,
	"apiserver": 3, "scheduler": 3, "controllers": 3, "kubelet": 3, "proxy": 3, "network": 3, "dns": 3, "runtime": 3,
	"store": 2, "kit": 2,
	"api":      1,
	"internal": 0,
}

// free folders may import anything: tests, and tools that are not the product.
var free = map[string]bool{"test": true, "tools": true}

// drawers are package names that say nothing.
var drawers = map[string]bool{"util": true, "utils": true, "helper": true, "helpers": true, "common": true, "misc": true, "shared": true}

type source struct {
	dir  string // slash-separated, from the module's root
	name string
	file *ast.File
	test bool
}

func TestHouse(t *testing.T) {
	files := parse(t, filepath.Join("..", ".."))
	if len(files) < 50 {
		t.Fatalf("found only %d Go files: the walk is broken", len(files))
	}
	t.Run("imports point down", func(t *testing.T) { checkImports(t, files) })
	t.Run("parts know what they may", func(t *testing.T) { checkInside(t, files) })
	t.Run("every package says its contract", func(t *testing.T) { checkDocs(t, files) })
	t.Run("no init and no drawers", func(t *testing.T) { checkContent(t, files) })
	t.Run("only store imports etcd", func(t *testing.T) { checkEtcd(t, files) })
	t.Run("one maker of 422s", func(t *testing.T) { checkInvalid(t, files) })
	t.Run("of k8s.io/apiserver only pkg/cel", func(t *testing.T) { checkApiserver(t, files) })
}

func parse(t *testing.T, root string) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); rel != "." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "bin" || n == "build") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{path.Dir(rel), path.Base(rel), f, strings.HasSuffix(rel, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func root(dir string) string { return strings.SplitN(dir, "/", 2)[0] }

func imports(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func checkImports(t *testing.T, files []source) {
	for _, s := range files {
		from := root(s.dir)
		if s.dir == "." || free[from] {
			continue
		}
		level, ok := layers[from]
		if !ok {
			t.Errorf("%s: folder %q is not in the house: add it to docs/architecture.md §2 and here, or move the code", s.dir, from)
			continue
		}
		for _, imp := range imports(s.file) {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || root(to) == from {
				continue
			}
			// A test may build what it drives from any layer.
			if s.test && !free[root(to)] {
				continue
			}
			if below, ok := layers[root(to)]; !ok || below >= level {
				t.Errorf("%s/%s imports %s: arrows point down only (layer %d may not see %s)", s.dir, s.name, to, level, root(to))
			}
		}
	}
}

func checkDocs(t *testing.T, files []source) {
	documented := map[string]bool{}
	for _, s := range files {
		if !s.test {
			documented[s.dir] = documented[s.dir] || s.file.Doc != nil
		} else if _, ok := documented[s.dir]; !ok && s.file.Doc != nil {
			documented[s.dir] = true // a package of tests only
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment that says its contract", dir)
		}
	}
}

func checkContent(t *testing.T, files []source) {
	for _, s := range files {
		if drawers[path.Base(s.dir)] {
			t.Errorf("%s: name a package by its purpose", s.dir)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s/%s: init() wires behind the reader's back: use an explicit list", s.dir, s.name)
			}
		}
	}
}

func checkEtcd(t *testing.T, files []source) {
	for _, s := range files {
		if root(s.dir) == "store" || free[root(s.dir)] {
			continue
		}
		for _, imp := range imports(s.file) {
			if strings.HasPrefix(imp, "go.etcd.io/etcd") {
				t.Errorf("%s/%s imports %s: only store may", s.dir, s.name, imp)
			}
		}
	}
}

func checkApiserver(t *testing.T, files []source) {
	for _, s := range files {
		for _, imp := range imports(s.file) {
			if strings.HasPrefix(imp, "k8s.io/apiserver") && !strings.HasPrefix(imp, "k8s.io/apiserver/pkg/cel") || strings.HasPrefix(imp, "k8s.io/kubernetes") {
				t.Errorf("%s/%s imports %s: the server is the product", s.dir, s.name, imp)
			}
		}
	}
}

// checkInvalid keeps every answer that lists a client's errors bounded.
func checkInvalid(t *testing.T, files []source) {
	for _, s := range files {
		if s.test || free[root(s.dir)] || s.dir == "api/invalid" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "NewInvalid" {
				t.Errorf("%s/%s calls NewInvalid: use api/invalid, which bounds what is listed", s.dir, s.name)
			}
			return true
		})
	}
}
