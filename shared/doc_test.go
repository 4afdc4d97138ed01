package shared

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The bounds of what is read at once.
const (
	maxFile     = 400 // lines
	maxFunction = 70  // lines, tests aside
	minTwin     = 6   // statements from which equal bodies are one helper too many
)

// A source is a Go file of the project.
type source struct {
	path string // from the root
	text []byte
	ast  *ast.File
	set  *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// sources returns every Go file of the project.
func sources(t *testing.T) (all []source) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == "cdk.out" || name == "testdata" || len(name) > 2 && name[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{strings.TrimPrefix(filepath.ToSlash(path), "../"), text, file, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestEveryPackageIsOnTheMap(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !bytes.Contains(doc, []byte("\n//\t"+e.Name()+" ")) && e.Name() != "awstest" {
			t.Errorf("shared/%s is not on the map in shared/doc.go", e.Name())
		}
	}
	for _, m := range regexp.MustCompile(`\n//\t(\w+) `).FindAllSubmatch(doc, -1) {
		if _, err := os.Stat(string(m[1])); err != nil {
			t.Errorf("the map names %s, which is not there", m[1])
		}
	}
}

func TestFilesAndFunctionsAreReadAtOneSitting(t *testing.T) {
	for _, s := range sources(t) {
		if generated.Match(s.text) {
			continue
		}
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile {
			t.Errorf("%s has %d lines, over %d: cut it by what it is about", s.path, n, maxFile)
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test() {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > maxFunction {
				t.Errorf("%s: %s has %d lines, over %d", s.path, f.Name.Name, n, maxFunction)
			}
		}
	}
}

// well known are methods whose interface explains them.
var wellKnown = map[string]bool{
	"Error": true, "Unwrap": true, "String": true, "Read": true, "Write": true, "Close": true, "ServeHTTP": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "LogValue": true, "Format": true, "GoString": true,
	"Len": true, "Less": true, "Swap": true, "Set": true, "Type": true, "WriteHeader": true, "Flush": true,
}

func TestExportedNamesAreExplained(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || generated.Match(s.text) {
			continue
		}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				// What an unexported type has belongs to the interface that it implements.
				if d.Name.IsExported() && d.Doc == nil && !wellKnown[d.Name.Name] && !ofUnexported(d) {
					t.Errorf("%s: %s has no comment", s.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%s: %s has no comment", s.path, ts.Name.Name)
					}
				}
			}
		}
	}
}

func ofUnexported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return false
	}
	typ := f.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return !t.IsExported()
		default:
			return false
		}
	}
}

// No helper is written twice: of two functions with the same body in two packages
// one is too many. Platform twins of one package are none.
func TestNoHelperIsThereTwice(t *testing.T) {
	first := map[string]string{}
	for _, s := range sources(t) {
		if s.test() || generated.Match(s.text) {
			continue
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || statements(f.Body) < minTwin {
				continue
			}
			var body bytes.Buffer
			if err := printer.Fprint(&body, s.set, f.Body); err != nil {
				t.Fatal(err)
			}
			here := fmt.Sprintf("%s: %s", s.path, f.Name.Name)
			there, twice := first[body.String()]
			if twice && filepath.Dir(there[:strings.Index(there, ":")]) != filepath.Dir(s.path) {
				t.Errorf("%s and %s are the same", there, here)
			}
			if !twice {
				first[body.String()] = here
			}
		}
	}
}

func statements(b *ast.BlockStmt) (n int) {
	ast.Inspect(b, func(node ast.Node) bool {
		if _, ok := node.(ast.Stmt); ok {
			n++
		}
		return true
	})
	return n
}
