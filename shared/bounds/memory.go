package bounds

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// MemoryLimit returns how many bytes of memory this process may use: the least of
// GOMEMLIMIT, the limit of its control group, and the machine's memory; 0 if none
// is known.
func MemoryLimit() uint64 {
	least := uint64(0)
	take := func(n uint64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if n := debug.SetMemoryLimit(-1); n > 0 && n < math.MaxInt64 {
		take(uint64(n))
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(path); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63); err == nil && n < 1<<60 {
				take(n)
			}
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		take(memTotal(string(b)))
	}
	return least
}

// FunctionMemory returns how many bytes of memory a Lambda function has, which
// its environment says in MB, or 0 outside one. The machine below has more.
func FunctionMemory(lookup func(string) (string, bool)) uint64 {
	text, _ := lookup("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
	mb, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return mb << 20
}

// memTotal reads the machine's memory from the text of /proc/meminfo.
func memTotal(text string) uint64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 53)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
