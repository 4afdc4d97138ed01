package receiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

type kept struct {
	usage relay.Usage
	err   error
}

func (k *kept) Usage(context.Context, string) (relay.Usage, error) { return k.usage, k.err }

func TestAnAccountThatKeepsAllItMayIsAskedToComeAgain(t *testing.T) {
	b, k := newBench(t), &kept{}
	l := b.counting()
	rc := b.Handler.(*receiver).Config
	rc.Usage, rc.Limit = k, relay.Usage{Events: 20, Bytes: 2000}
	b.Handler = New(rc)
	k.usage = relay.Usage{Events: 19, Bytes: 1999}
	wantAccepted(t, b.do(signed(t, "src_rivya", rivyaBody, start, rivyaSecret)), "evt_1")
	b.sent = nil
	k.usage = relay.Usage{Events: 20}
	b.log.Reset()
	b.wantError(t, b.do(signed(t, "src_rivya", rivyaBody, start, rivyaSecret)), 503, relay.KindUnavailable)
	b.wantError(t, b.do(post(siviPath("src_sivi", siviToken), siviBody)), 503, relay.KindUnavailable)
	if log := b.log.String(); strings.Count(log, `"level":"ERROR"`) != 2 || !strings.Contains(log, "account acct_1 keeps 20 events") {
		t.Errorf("log: %s", log)
	}
	if l.counts[fmt.Sprint("src_rivya account_full ", start.UTC().Hour())] != 1 {
		t.Errorf("counted %v", l.counts)
	}
	// Without a proof nothing is asked or said of the account.
	b.wantError(t, b.do(signed(t, "src_rivya", rivyaBody, start, "another secret")), 401, relay.KindSignatureInvalid)
	k.err = errors.New("locked")
	wantAccepted(t, b.do(signed(t, "src_rivya", rivyaBody, start, rivyaSecret)), "evt_1")
}
