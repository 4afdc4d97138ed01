package bounds

import "testing"

// Every share is large enough to work with, and together they never take more
// than there is.
func TestTheSharesNeverTakeMoreThanThereIs(t *testing.T) {
	for files := uint64(1); files < 200_000; files = files*5/4 + 1 {
		for _, memory := range []uint64{0, 1 << 20, 64 << 20, 512 << 20, 64 << 30} {
			b := Of(files, memory)
			have := max(files, MinFiles)
			if used := uint64(b.Calls+b.Connections+b.Idle) + reserved; used > have {
				t.Errorf("%d files: %+v takes %d", files, b, used)
			}
			if b.Calls < 8 || b.Connections < 8 || b.Idle < 4 {
				t.Errorf("%d files: too little to work with: %+v", files, b)
			}
			if b.Calls > MaxCalls || b.Connections > MaxConnections || b.Idle > MaxIdle {
				t.Errorf("%d files: %+v", files, b)
			}
			// One source can always send the largest event, and all bodies together
			// stay a fraction of the memory, where there is enough to speak of.
			if b.Bodies/16 < 256<<10 || memory >= 64<<20 && uint64(b.Bodies) > memory/16 {
				t.Errorf("%d bytes of memory: %d of bodies", memory, b.Bodies)
			}
		}
	}
}

func TestUnknownLimitsAreThoseOfAnOrdinaryProcess(t *testing.T) {
	if got, want := Of(0, 0), Of(1024, 1<<30); got.Calls != want.Calls || got.Bodies != want.Bodies {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAFunctionsMemoryIsWhatItsEnvironmentSays(t *testing.T) {
	for text, want := range map[string]uint64{"512": 512 << 20, "": 0, "-1": 0, "much": 0} {
		if got := FunctionMemory(func(string) (string, bool) { return text, text != "" }); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	// Lambda gives every function 1,024 files.
	if b := Of(1024, 512<<20); b.Calls < 256 || b.Idle < 128 {
		t.Errorf("a function has %+v: less than two batches need", b)
	}
}

func TestTheMachinesMemoryIsRead(t *testing.T) {
	for text, want := range map[string]uint64{
		"MemTotal:       24563256 kB\nMemFree: 1 kB\n": 24563256 << 10,
		"MemFree: 1 kB\n": 0, "MemTotal: x kB\n": 0, "": 0, "MemTotal:": 0,
	} {
		if got := memTotal(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
