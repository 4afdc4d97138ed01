package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// dev and keys create, started together on a new folder, as a script does it.
func TestCommandsThatStartTogetherShareOneKeyring(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "data")
		const commands = 8
		rings := make([][]byte, commands)
		var start, all sync.WaitGroup
		start.Add(1)
		for i := range commands {
			all.Go(func() {
				start.Wait()
				ring, err := openKeyring(dir)
				if err != nil {
					t.Error(err)
					return
				}
				rings[i] = ring.Marshal()
			})
		}
		start.Done()
		all.Wait()
		kept, err := os.ReadFile(filepath.Join(dir, keyringFile))
		if err != nil {
			t.Fatal(err)
		}
		for i, ring := range rings {
			if !bytes.Equal(ring, kept) {
				t.Fatalf("command %d works with another keyring than the folder keeps", i)
			}
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Fatalf("left in the folder: %v, %v", left, err)
		}
	}
}
