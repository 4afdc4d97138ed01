// Package bounds says how much of what one process may use at a time: files,
// calls, connections, and bytes of bodies. Everything follows from the process's
// own limits, in one table, so that no part takes what another was promised:
//
//	files of the database its writer and readers, the log and the lock
//	files kept free       for logs, keys, listeners, a backup and the resolver
//	calls in flight       each has a connection, and now and then a resolver's socket
//	connections taken     from providers and clients
//	idle connections out  kept for the next call of the same account
//
// A process that is given 160 files and one that is given 65,536 both work; the
// small one does less at a time. What meets a limit waits or is asked to come
// again. It is never put down to a destination.
package bounds

const (
	// MaxCalls is how many calls are in flight at most, whatever the limits.
	MaxCalls = 2048
	// MaxConnections is how many connections are taken at most.
	MaxConnections = 8192
	// MaxIdle is how many idle connections out are kept at most.
	MaxIdle = 512

	// MinFiles is the least number of files that a process can work with.
	MinFiles = 96

	// MaxReaders is how many connections read the database of one node at a time.
	MaxReaders = 4
	// DatabaseFiles is how many files it has open then: each connection, and the one
	// that writes, the database, its log and their index; and the log to sync it, the
	// lock, and a folder now and then.
	DatabaseFiles = 3*(MaxReaders+1) + 3

	// reserved is how many files are kept from the shares: those of the database, and
	// thirty that are free.
	reserved = DatabaseFiles + 30

	// The bodies in hand take a sixteenth of the memory, within these bounds. The
	// least is what 16 sources need to send the largest event at the same time.
	minBodies = 16 * 256 << 10
	maxBodies = 256 << 20
)

// Bounds are the shares of one process.
type Bounds struct {
	Files       uint64 // that the process may have open
	Calls       int    // deliveries and questions in flight
	Connections int    // taken from callers, idle ones included
	Idle        int    // connections out that wait for their next call
	Bodies      int64  // bytes of bodies in hand
}

// Of returns the shares of a process that may have so many files open and use so
// many bytes of memory; 0 means that the limit is not known, and stands for 1,024
// files and 1 GiB. Fewer than MinFiles count as MinFiles.
func Of(files, memory uint64) Bounds {
	if files == 0 {
		files = 1024
	}
	if memory == 0 {
		memory = 1 << 30
	}
	free := max(files, MinFiles) - reserved
	// 5 of 12 each for calls and for connections, 2 of 12 for idle ones: a call
	// that meets a shortage comes again, a provider's may not.
	return Bounds{
		Files:       files,
		Calls:       int(min(free*5/12, MaxCalls)),
		Connections: int(min(free*5/12, MaxConnections)),
		Idle:        int(min(free/6, MaxIdle)),
		Bodies:      int64(min(max(memory/16, minBodies), maxBodies)),
	}
}
