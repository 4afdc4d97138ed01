package console

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// next is what the console leaves alone.
var next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func call(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	Handler(next).ServeHTTP(rec, r)
	return rec
}

func TestEveryPathBelowTheRootIsThePageAndOthersAreLeft(t *testing.T) {
	for path, want := range map[string]int{
		"/console": 200, "/console/": 200, "/console/events/evt%2F..%2Fx?status=failed": 200, "/console/a": 200,
		"/console/a/x/none.js": 404, "/console/a/x/index.html": 404, "/console/a/x/../console.go": 404, "/console/a/": 404,
		"/consoles": 418, "/api/v1/webhooks": 418, "/": 418, "/in/console": 418,
	} {
		if got := call("GET", path).Code; got != want {
			t.Errorf("GET %s: %d, want %d", path, got, want)
		}
	}
	if rec := call("POST", "/console"); rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
	if rec := call("HEAD", "/console"); rec.Code != 200 || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", rec.Code, rec.Body.Len())
	}
}

func TestTheRootSendsABrowserToTheConsole(t *testing.T) {
	rec := call("GET", "/", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if rec.Code != 302 || rec.Header().Get("Location") != "/console" || rec.Header().Get("Vary") != "Accept" {
		t.Errorf("a browser: %d to %q", rec.Code, rec.Header().Get("Location"))
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		if rec := call("GET", "/", "Accept", accept); rec.Code != 418 {
			t.Errorf("Accept %q: %d", accept, rec.Code)
		}
	}
}

func TestEveryAnswerHasThePolicyAndARequestID(t *testing.T) {
	for _, path := range []string{"/console", "/console/a/x/app.js", "/console/a/x/none", "/console/a/x/style.css"} {
		h := call("GET", path).Header()
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" || !strings.HasPrefix(h.Get("X-Request-Id"), relay.RequestPrefix) {
			t.Errorf("%s: %v", path, h)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy is not strict: %s", policy)
	}
}

func TestFilesOfThisVersionAreKeptForEverAndOthersAreAskedForAgain(t *testing.T) {
	page := call("GET", "/console").Body.String()
	script := regexp.MustCompile(`src="([^"]+)"`).FindStringSubmatch(page)[1]
	rec := call("GET", script)
	if rec.Code != 200 || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("%s: %d %v", script, rec.Code, rec.Header())
	}
	other := call("GET", "/console/a/older/app.js")
	if other.Header().Get("Cache-Control") != "no-cache" || other.Body.String() != rec.Body.String() {
		t.Errorf("a file of another version: %v", other.Header())
	}
	if again := call("GET", "/console", "If-None-Match", call("GET", "/console").Header().Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("the same page again: %d", again.Code)
	}
}

func TestWhatIsZippedIsTheFile(t *testing.T) {
	rec := call("GET", "/console/a/x/app.js", "Accept-Encoding", "gzip, br")
	zr, err := gzip.NewReader(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zr)
	if err != nil || string(got) != call("GET", "/console/a/x/app.js").Body.String() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A module names the others by relative paths alone, and what it names is there:
// a strict policy has no import map, and a misspelt name would show in a browser
// alone.
func TestEveryImportIsAFileOfOurs(t *testing.T) {
	names := regexp.MustCompile(`(?m)(?:^(?:import|export)[^;\n]* from\s*|import\()"([^"]+)"`)
	for name, f := range load().files {
		if !strings.HasSuffix(name, ".js") && !strings.HasSuffix(name, ".mjs") {
			continue
		}
		dir := name[:strings.LastIndex("/"+name, "/")]
		for _, m := range names.FindAllStringSubmatch(string(f.body), -1) {
			if m[1] == "node:crypto" {
				continue // in an example for receivers
			}
			rest, relative := strings.CutPrefix(m[1], "./")
			if _, there := load().files[dir+rest]; !there || !relative {
				t.Errorf("%s imports %q", name, m[1])
			}
		}
	}
	for _, m := range regexp.MustCompile(`"/console/a/[0-9a-f]+/([^"]+)"`).FindAllStringSubmatch(string(load().index.body), -1) {
		if _, there := load().files[m[1]]; !there {
			t.Errorf("index.html names %s", m[1])
		}
	}
}

// Nothing is fetched from elsewhere, nothing is inline, nothing becomes markup.
func TestTheFilesKeepToThePolicy(t *testing.T) {
	bad := regexp.MustCompile(`innerHTML|insertAdjacentHTML|dangerouslySet|document\.write|eval\(|new Function|style="|on[a-z]+="|@import|[: ]url\(`)
	for name, f := range load().files {
		if strings.HasPrefix(name, "vendor/") {
			continue
		}
		if m := bad.Find(f.body); m != nil {
			t.Errorf("%s has %s", name, m)
		}
	}
	if strings.Contains(string(load().index.body), "<script>") {
		t.Error("index.html has a script of its own")
	}
}

func TestALinkHasTheKeyInItsFragment(t *testing.T) {
	if got, want := Link("http://127.0.0.1:1/", "rvya_sk_x"), "http://127.0.0.1:1/console#key=rvya_sk_x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The first paint is what a browser gets before it shows the events, the page that
// most open first, in bytes of gzip.
func TestFirstPaintIsSmall(t *testing.T) {
	const budget = 50 << 10
	sum := len(load().index.zip())
	seen := map[string]bool{}
	var take func(name string)
	imports := regexp.MustCompile(`(?m)^(?:import|export).* from\s*"\./([^"]+)"`)
	take = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		f, ok := load().files[name]
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		sum += len(f.zip())
		for _, m := range imports.FindAllStringSubmatch(string(f.body), -1) {
			take(name[:strings.LastIndex("/"+name, "/")] + m[1])
		}
	}
	for _, name := range []string{"style.css", "icon.svg", "app.js", "events.js"} {
		take(name)
	}
	t.Logf("%d bytes in %d files", sum, len(seen)+1)
	if sum > budget {
		t.Errorf("the first paint takes %d bytes in gzip, over its budget of %d", sum, budget)
	}
}

func TestVendoredFilesHaveTheirLicences(t *testing.T) {
	licences, err := fs.ReadFile(embedded, "assets/vendor/LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"== preact@11.2.0", "== htm@3.1.1", "== uplot@1.6.32", "MIT", "Apache License"} {
		if !strings.Contains(string(licences), word) {
			t.Errorf("LICENSES does not have %q", word)
		}
	}
}
