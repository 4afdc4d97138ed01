package sqlite

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

var powerCuts = flag.Int("powercuts", 30, "at how many points of a busy file the power is cut")

func init() {
	// Works on a file from several goroutines, and prints what was acknowledged.
	children["busy"] = func(ctx context.Context, path string) error {
		db, err := Open(ctx, Config{Path: path, Exclusive: true})
		if err != nil {
			return err
		}
		errs := make(chan error, 8)
		for g := range cap(errs) {
			go func() { errs <- busy(ctx, db, g) }()
		}
		var all error
		for range cap(errs) {
			all = errors.Join(all, <-errs)
		}
		if all != nil && os.Getenv("HOOKFERRY_TEST_FAILS") == "" {
			return all
		}
		os.Exit(0) // as a power cut ends it: nothing is closed
		return nil
	}
}

// busy sends messages, records attempts, and handles messages of a lane of its own.
func busy(ctx context.Context, db *DB, g int) (failed error) {
	q, own := db.Queue("events"), db.Queue(fmt.Sprint("own", g))
	for i := range 40 {
		id := fmt.Sprintf("%d-%d", g, i)
		acknowledged := func(kind string, err error) {
			if err != nil {
				failed = err
				return
			}
			_, _ = os.Stdout.WriteString(kind + " " + id + "\n")
		}
		acknowledged("message", q.Send(ctx, message(id+strings.Repeat(" ", 37*g*i%3000))))
		_, err := db.RecordAttempt(ctx, relay.Attempt{
			ID: "att_" + id, EndpointID: "whend_1", Account: "acct_1", EventID: "evt_" + id, Status: relay.AttemptSucceeded, Final: true, CreatedAt: relay.Millis(time.Now()),
		})
		acknowledged("attempt", err)
		_ = own.Send(ctx, message("own"))
		if got, err := own.Receive(ctx, 1, 0, time.Hour); err == nil {
			_ = own.Delete(ctx, got...)
		}
	}
	return failed
}

// A step is one call of the busy process that matters: a write to a file, a sync of
// one, or the printing of what was acknowledged.
type step struct {
	file       string // "", for what was printed
	sync       bool
	truncate   bool
	offset     int64
	data       []byte
	begun, end int // lines of the trace
}

var (
	traced  = regexp.MustCompile(`^(\d+)\s+(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)$`)
	written = regexp.MustCompile(`^(\d+), "((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?, (\d+)(?:, (\d+))?`)
)

// readTrace reads what strace wrote. A call that another thread interrupts takes two
// lines; it takes effect somewhere between them.
func readTrace(t *testing.T, path string, names map[string]string) []step {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	open := map[int]string{} // file descriptors of the data file and its log
	pending := map[string]struct {
		text string
		line int
	}{}
	var steps []step
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for n := 0; lines.Scan(); n++ {
		m := traced.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		begun, text := n, m[4]
		if head, unfinished := strings.CutSuffix(text, " <unfinished ...>"); unfinished {
			pending[m[1]] = struct {
				text string
				line int
			}{head, n}
			continue
		}
		if p, ok := pending[m[1]]; ok && m[3] == " resumed>" {
			begun, text = p.line, p.text+text
			delete(pending, m[1])
		}
		i := strings.LastIndex(text, "= ")
		if i < 0 {
			continue
		}
		result, _, _ := strings.Cut(text[i+2:], " ")
		code, _ := strconv.Atoi(result)
		if code < 0 {
			continue // it failed and had no effect
		}
		fd, _ := strconv.Atoi(strings.FieldsFunc(text+" ", func(r rune) bool { return r < '0' || r > '9' })[0])
		switch m[2] {
		case "open", "openat":
			for encoded, name := range names {
				if strings.Contains(text, encoded+`"`) {
					open[code] = name
				}
			}
		case "close":
			delete(open, fd)
		case "fsync", "fdatasync":
			if name, ok := open[fd]; ok {
				steps = append(steps, step{file: name, sync: true, begun: begun, end: n})
			}
		case "ftruncate":
			if name, ok := open[fd]; ok {
				size, _ := strconv.ParseInt(strings.Trim(text[strings.Index(text, ",")+1:strings.Index(text, ")")], " "), 10, 64)
				steps = append(steps, step{file: name, truncate: true, offset: size, begun: begun, end: n})
			}
		case "pwrite64", "write":
			w := written.FindStringSubmatch(text)
			if name, ok := open[fd]; w != nil && (ok || fd == 1) {
				data, err := hex.DecodeString(strings.ReplaceAll(w[2], `\x`, ""))
				if err != nil {
					t.Fatal(err)
				}
				offset, _ := strconv.ParseInt(w[4], 10, 64)
				steps = append(steps, step{file: name, offset: offset, data: data[:min(code, len(data))], begun: begun, end: n})
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// afterCut returns a file as it may be after the power was cut at a line of the
// trace: what a sync had promised is there, and of everything else some is lost,
// some is whole, and some is torn between sectors.
func afterCut(base []byte, steps []step, name string, line int, random *rand.Rand) []byte {
	durable := -1 // what had ended before this line is on the disk
	for _, s := range steps {
		if s.file == name && s.sync && s.end <= line {
			durable = max(durable, s.begun)
		}
	}
	image := append([]byte(nil), base...)
	grow := func(size int64) {
		if n := size - int64(len(image)); n > 0 {
			image = append(image, make([]byte, n)...)
		}
	}
	for _, s := range steps {
		if s.file != name || s.sync || s.begun > line {
			continue
		}
		safe := s.end < durable
		if !safe && random.IntN(2) == 0 {
			continue
		}
		if s.truncate {
			grow(s.offset)
			image = image[:s.offset]
			continue
		}
		grow(s.offset + int64(len(s.data)))
		const sector = 512
		torn := !safe && random.IntN(2) == 0
		for at := 0; at < len(s.data); at += sector {
			if !torn || random.IntN(2) == 0 {
				copy(image[s.offset+int64(at):], s.data[at:min(at+sector, len(s.data))])
			}
		}
	}
	return image
}

// traceBusy lets the busy process work on a new file under strace, and returns the
// file and its log before, and the steps.
func traceBusy(t *testing.T, env string, strace ...string) (dir string, base map[string][]byte, steps []step) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed (on Debian: apt-get install strace): no power was cut")
	}
	if err := exec.CommandContext(t.Context(), path, "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace may not trace here (%v): no power was cut", err)
	}
	dir = t.TempDir()
	file := filepath.Join(dir, "hookferry.db")
	db, err := Open(t.Context(), Config{Path: file, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	base, names := map[string][]byte{}, map[string]string{}
	for _, name := range []string{"hookferry.db", "hookferry.db-wal"} {
		base[name], _ = os.ReadFile(filepath.Join(dir, name)) // there may be no log
		encoded := ""
		for _, c := range []byte("/" + name) {
			encoded += fmt.Sprintf(`\x%02x`, c)
		}
		names[encoded] = name
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(dir, "trace")
	args := append([]string{"-f", "-qq", "-xx", "-s", "1000000", "-e", "signal=none", "-e", "trace=open,openat,close,pwrite64,write,ftruncate,fsync,fdatasync", "-o", trace}, strace...)
	cmd := exec.CommandContext(t.Context(), path, append(args, exe)...)
	cmd.Env = append(os.Environ(), "HOOKFERRY_TEST_CHILD=busy", "HOOKFERRY_TEST_PATH="+file, env)
	if out, err := cmd.CombinedOutput(); err != nil && env == "" {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, base, readTrace(t, trace, names)
}

// acknowledged returns what had been printed before a line of the trace.
func acknowledged(steps []step, line int) (messages, attempts []string) {
	for _, s := range steps {
		if s.file == "" && s.end <= line {
			if id, ok := strings.CutPrefix(strings.TrimSpace(string(s.data)), "message "); ok {
				messages = append(messages, id)
			} else if id, ok := strings.CutPrefix(strings.TrimSpace(string(s.data)), "attempt "); ok {
				attempts = append(attempts, "att_"+id)
			}
		}
	}
	return messages, attempts
}

// missing opens a data file and returns what is not in it.
func missing(ctx context.Context, path string, messages, attempts []string) (lost []string, err error) {
	db, err := Open(ctx, Config{Path: path, Exclusive: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	have := map[string]bool{}
	err = db.read(ctx, func(c *conn) error {
		sound, err := c.word("PRAGMA quick_check")
		if err != nil {
			return err
		}
		if sound != "ok" {
			return errors.New(sound)
		}
		return errors.Join(
			c.each("SELECT body FROM bodies", func(r row) error { have[strings.TrimSpace(string(r.blob(0)))] = true; return nil }),
			c.each("SELECT id FROM attempts", func(r row) error { have[r.text(0)] = true; return nil }))
	})
	for _, id := range append(messages, attempts...) {
		if !have[id] {
			lost = append(lost, id)
		}
	}
	return lost, err
}

// The power is cut at many points of a busy time: what was acknowledged is there
// afterwards, and the file opens and is sound.
func TestAPowerCutAtAnySystemCallLosesNothing(t *testing.T) {
	dir, base, steps := traceBusy(t, "")
	last := steps[len(steps)-1].end
	syncs := 0
	for _, s := range steps {
		if s.sync {
			syncs++
		}
	}
	if m, e := acknowledged(steps, last); len(m) != 320 || len(e) != 320 || syncs < 20 {
		t.Fatalf("the trace has %d messages, %d attempts and %d syncs", len(m), len(e), syncs)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for cut := range *powerCuts {
		line := random.IntN(last + 1)
		if cut%4 == 0 { // just when a sync or a printing has ended
			line = steps[random.IntN(len(steps))].end
		}
		path := filepath.Join(dir, "cut")
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for name := range base {
			if err := os.WriteFile(filepath.Join(path, name), afterCut(base[name], steps, name, line, random), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		messages, attempts := acknowledged(steps, line)
		lost, err := missing(t.Context(), filepath.Join(path, "hookferry.db"), messages, attempts)
		if err != nil || len(lost) > 0 {
			t.Fatalf("cut %d at line %d of %d, %d acknowledged: %v, and lost: %v", cut, line, last, len(messages)+len(attempts), err, lost)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d cuts in %d steps with %d syncs", *powerCuts, len(steps), syncs)
}

// Each write and sync of a busy time fails once: what was acknowledged all the same
// is there afterwards.
func TestASystemCallThatFailsIsNotAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("in short mode no call is let fail: each takes a second")
	}
	for _, call := range []string{"pwrite64", "fdatasync", "fsync"} {
		for _, code := range []string{"EIO", "ENOSPC"} {
			for i := range max(*powerCuts/30, 1) {
				n := 1 + i*7 + 20*(i%2)
				dir, _, steps := traceBusy(t, "HOOKFERRY_TEST_FAILS=1", "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, code, n))
				if len(steps) == 0 {
					continue // it did not open
				}
				messages, attempts := acknowledged(steps, steps[len(steps)-1].end)
				lost, err := missing(t.Context(), filepath.Join(dir, "hookferry.db"), messages, attempts)
				if err != nil || len(lost) > 0 {
					t.Fatalf("%s number %d answered %s, %d acknowledged: %v, and lost: %v", call, n, code, len(messages)+len(attempts), err, lost)
				}
			}
		}
	}
}
