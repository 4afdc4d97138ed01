// Package console serves the console: the pages that show, in a browser, what
// became of an event and let one put it right. They work over the management API
// alone, with an API key that the person who opens them gives, so this package
// knows neither accounts nor keys: it hands out the same embedded files to all.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

//go:embed assets
var embedded embed.FS

// Root is the path that the console is served under, and assetsRoot that of its
// files.
const (
	Root       = "/console"
	assetsRoot = Root + "/a/"
)

// policy is the Content-Security-Policy of every answer. Scripts, styles and
// calls are those of this very origin; nothing is inline, nothing is evaluated,
// no text becomes markup, and nobody may frame the pages.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// contentTypes are the kinds of files that there are.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // the licences
}

// A file is one of the console's, as it is sent.
type file struct {
	contentType string
	body        []byte
	zip         func() []byte // the body in gzip, made when it is first asked for
}

func newFile(name string, body []byte) file {
	return file{contentType: contentTypes[path.Ext(name)], body: body, zip: sync.OnceValue(func() []byte {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err == nil {
			_, err = w.Write(body)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			panic(err) // a buffer takes every write
		}
		return out.Bytes()
	})}
}

// A site is the console's files under the version that stands in their paths.
type site struct {
	version string // a hash of all files, so that a path names one content for ever
	index   file
	files   map[string]file
}

var load = sync.OnceValue(func() site {
	s := site{files: map[string]file{}}
	sum := sha256.New()
	err := fs.WalkDir(embedded, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "assets/")
		sum.Write([]byte(name + "\x00" + strconv.Itoa(len(body)) + "\x00"))
		sum.Write(body)
		s.files[name] = newFile(name, body)
		return nil
	})
	if err != nil {
		panic(err) // the files are in the program
	}
	s.version = hex.EncodeToString(sum.Sum(nil)[:6])
	page := bytes.ReplaceAll(s.files["index.html"].body, []byte("{{assets}}"), []byte(assetsRoot+s.version))
	s.index = newFile("index.html", page)
	delete(s.files, "index.html")
	return s
})

// Handler serves the console at Root and below, sends a browser that asks for
// the root there, and leaves every other call to next. It is safe for concurrent
// use.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case p == Root || strings.HasPrefix(p, Root+"/"):
			serve(w, r)
		case p == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			setHeader(w.Header())
			w.Header().Set("Vary", "Accept")
			w.Header().Set("Cache-Control", "no-cache")
			http.Redirect(w, r, Root, http.StatusFound)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Link returns the address that opens the console of the relay at base signed in
// with the key. The key stands in the fragment, which no browser sends; the page
// takes it out of the address at once.
func Link(base string, key relay.Secret) string {
	return strings.TrimSuffix(base, "/") + Root + "#key=" + key.Reveal()
}

func setHeader(h http.Header) {
	h.Set("X-Request-Id", relay.NewID(relay.RequestPrefix, time.Now()))
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func serve(w http.ResponseWriter, r *http.Request) {
	setHeader(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The console takes GET and HEAD.", http.StatusMethodNotAllowed)
		return
	}
	s := load()
	rest, asset := strings.CutPrefix(r.URL.Path, assetsRoot)
	if !asset {
		// Every other path is a page, which the program in the browser draws.
		s.index.write(w, r, "no-cache", s.version)
		return
	}
	version, name, _ := strings.Cut(rest, "/")
	f, ok := s.files[name]
	if !ok {
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	// While a new version is rolled out, a page may ask for the files of another.
	cache := "no-cache"
	if version == s.version {
		cache = "public, max-age=31536000, immutable"
	}
	f.write(w, r, cache, s.version)
}

func (f file) write(w http.ResponseWriter, r *http.Request, cache, version string) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", cache)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `W/"`+version+`"`)
	if strings.Contains(r.Header.Get("If-None-Match"), `"`+version+`"`) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zip()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	w.Write(body) // a client that has gone is no failure of ours
}
