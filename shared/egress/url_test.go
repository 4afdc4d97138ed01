package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// hostileURLs are refused by the strict policy. Those under "private" pass with
// AllowPrivate, all others never do.
var hostileURLs = map[string][]string{
	"private": {
		// schemes, ports
		"http://example.com/", "HTTP://example.com/",
		"https://example.com:1/", "https://example.com:22/", "https://example.com:25/", "https://example.com:80/",
		"https://example.com:442/", "https://example.com:444/", "https://example.com:1023/",
		// local and single-label names
		"https://localhost/", "https://LOCALHOST/", "https://localhost:8443/", "https://foo.localhost/", "https://intranet/",
		"https://metadata/", "https://printer.local/", "https://metadata.google.internal/computeMetadata/v1/",
		"https://instance-data.ec2.internal/", "https://host.docker.internal/", "https://kubernetes.default.svc.cluster.local/",
		"https://router.lan/", "https://nas.home.arpa/", "https://box.home/", "https://wiki.corp/", "https://x.intranet/",
		"https://x.private/", "https://x.mail/", "https://x.invalid/", "https://x.test/", "https://x.TEST/", "https://x.onion/",
		"https://x.alt/", "https://localhost.localdomain/", "https://1.0.0.127.in-addr.arpa/", "https://ipv4only.arpa/",
		// IPv4
		"https://0.0.0.0/", "https://0.1.2.3/", "https://10.0.0.1/", "https://10.255.255.255/", "https://100.64.0.1/",
		"https://100.100.100.200/", "https://100.127.255.255/", "https://127.0.0.1/", "https://127.0.0.1:8443/x",
		"https://127.255.255.254/", "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/", "https://172.16.0.1/",
		"https://172.31.255.255/", "https://192.0.0.1/", "https://192.0.0.192/", "https://192.0.2.1/", "https://192.31.196.1/",
		"https://192.52.193.1/", "https://192.88.99.1/", "https://192.168.0.1/", "https://192.168.255.255/",
		"https://192.175.48.1/", "https://198.18.0.1/", "https://198.19.255.255/", "https://198.51.100.1/",
		"https://203.0.113.1/", "https://224.0.0.1/", "https://239.255.255.255/", "https://240.0.0.1/",
		"https://255.255.255.255/", "https://168.63.129.16/",
		// IPv6
		"https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::1]:8443/", "https://[::7f00:1]/",
		"https://[::127.0.0.1]/", "https://[::10.0.0.1]/", "https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
		"https://[64:ff9b::169.254.169.254]/", "https://[64:ff9b:1::1]/", "https://[100::1]/", "https://[100:0:0:1::1]/",
		"https://[2001::1]/", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "https://[2001:2::1]/", "https://[2001:3::1]/",
		"https://[2001:4:112::1]/", "https://[2001:10::1]/", "https://[2001:20::1]/", "https://[2001:30::1]/",
		"https://[2001:db8::1]/", "https://[2002:7f00:1::1]/", "https://[2002:a00:1::]/", "https://[2620:4f:8000::1]/",
		"https://[3fff::1]/", "https://[5f00::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fd12:3456::1]/",
		"https://[fe80::1]/", "https://[febf::1]/", "https://[fec0::1]/", "https://[ff02::1]/", "https://[ff0e::1]/",
		"https://[4000::1]/", "https://[1fff::1]/", "https://[400::1]/",
	},
	"credentials": {
		"https://user@example.com/", "https://user:pass@example.com/", "https://@example.com/", "https://:@example.com/",
		"https://example.com@127.0.0.1/", "https://127.0.0.1@example.com/", "https://a@b@example.com/",
		"https://example.com:443@10.0.0.1/",
	},
	"fragments": {
		"https://example.com/#x", "https://example.com/#", "https://example.com#", "https://example.com#@127.0.0.1/",
		"https://example.com?x#y",
	},
	"characters": {
		"https://example.com\\@127.0.0.1/", "https:\\\\example.com/", "https://example.com/a\\b", "https://example.com/a b",
		" https://example.com/", "https://example.com/ ", "https://exa mple.com/", "https://example.com/\t", "\thttps://example.com/",
		"https://example.com/\r\nX-Injected: 1", "https://example.com/\n", "https://example.com/\x00", "https://example.com\x00.evil.com/",
		"https://example.com/\x7f", "https://example.com/\u0085", "https://example.com/\u00a0", "https://example.com/\u2028",
		"https://example.com/\xff", "https://example.com/größe", "https://ex\u00adample.com/", "https://example.com/\u202e",
	},
	"other notations": {
		"https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0X7F000001/", "https://0x7f.1/",
		"https://0x7f.0x0.0x0.0x1/", "https://0177.0.0.1/", "https://0177.0.0.01/", "https://127.1/", "https://127.0.1/",
		"https://127.0.0.01/", "https://127.0.0.0x1/", "https://010.0.0.1/", "https://10.1/", "https://0/", "https://1/",
		"https://3232235777/", "https://0xa9fea9fe/", "https://0xa9.254.0251.254/", "https://2852039166/", "https://127.0.0.1.1/",
		"https://256.0.0.1/", "https://99999999999/", "https://example.0x/", "https://example.0x1f/", "https://example.123/",
		"https://127.0.0.1./", "https://localhost./", "https://example.com./", "https://metadata.google.internal./", "https://./",
		"https://127。0。0。1/", "https://127．0．0．1/", "https://１２７.0.0.1/", "https://①②⑦.⓪.⓪.①/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
		"https://ｌｏｃａｌｈｏｓｔ/", "https://bücher.example.com/", "https://🍕.example.com/", "https://exampl\u0435.com/",
		"https://%31%32%37.0.0.1/", "https://127.0.0.1%2f/", "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://example.com%00/",
		"https://example.com%2f@evil.com/", "https://example%2ecom/",
		"https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[0:0:0:0:0:ffff:10.0.0.1]/", "https://[::ffff:a9fe:a9fe]/",
		"https://[::ffff:8.8.8.8]/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[2606:4700::1111%25lo]/",
		"https://[::1%25]/", "https://[127.0.0.1]/", "https://[example.com]/", "https://[v1.x]/", "https://[::1/", "https://::1/",
		"https://[]/", "https://[2606:4700::1111/", "https://2606:4700::1111]/", "https://[[::1]]/", "https://[::1]x/",
		"https://[::1]x:443/", "https://2606:4700::1111/",
	},
	"malformed": {
		"", "https", "https:", "https:/", "https://", "https:///", "https:///example.com/", "https:example.com", "https:/example.com/",
		"//example.com/", "/path", "example.com", "://example.com", "https//example.com", "https://?x", "https://:443/",
		"ftp://example.com/", "file:///etc/passwd", "gopher://example.com:6379/_x", "javascript:alert(1)", "data:text/plain,x",
		"httpss://example.com/", "https+unix://example.com/", "http+unix://%2fvar%2frun%2fdocker.sock/", "jar:https://example.com/",
		"https://example.com:/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:99999/",
		"https://example.com:-1/", "https://example.com:+443/", "https://example.com:0443/", "https://example.com:443:443/",
		"https://example.com:https/", "https://example.com:4 43/", "https://example.com:1e4/",
		"https://.example.com/", "https://example..com/", "https://-example.com/", "https://example-.com/", "https://exam!ple.com/",
		"https://exam*ple.com/", "https://exam,ple.com/", "https://ex'ample.com/", "https://exam<ple.com/", "https://exam(ple.com/",
		"https://exam|ple.com/", "https://exam^ple.com/", "https://exam$ple.com/", "https://exam;ple.com/", "https://a&b.com/",
		"https://" + strings.Repeat("a", 64) + ".com/", "https://" + strings.Repeat("abcdefgh.", 29) + "com/",
		"https://example.com/" + strings.Repeat("x", MaxURL), "https://example.com/%zz", "https://example.com/%",
		// Within the limit as it is given, and over it as it is called.
		"https://example.com/" + strings.Repeat("{}", 500),
	},
}

var goodURLs = []string{
	"https://example.com", "https://example.com/", "https://example.com/rivya/webhook", "https://your-domain.com/webhook",
	"HTTPS://Example.COM/Path", "https://example.com:443/", "https://example.com:1024/", "https://example.com:8443/x",
	"https://example.com:65535/", "https://example.com?x=1", "https://example.com/?", "https://example.com/a%20b?c=%23d&e=@",
	"https://example.com/a@b:c", "https://example.com//x//", "https://example.com/..", "https://a.b.c.d.example.co.uk/",
	"https://my_host.example.com/", "https://xn--bcher-kva.example.com/", "https://1.example.com/", "https://127.0.0.1.nip.io/",
	"https://3com.com/", "https://0x7f.example.com/", "https://localhost.example.com/", "https://internal.example.com/",
	"https://test.com/", "https://hooks.example/x", "https://example.dev/", "https://8.8.8.8/", "https://1.1.1.1:8443/x",
	"https://9.255.255.255/", "https://11.0.0.0/", "https://100.63.255.255/", "https://100.128.0.0/", "https://172.15.255.255/",
	"https://172.32.0.0/", "https://192.167.255.255/", "https://192.0.1.0/", "https://198.17.255.255/", "https://198.20.0.0/",
	"https://223.255.255.255/", "https://[2606:4700:4700::1111]/", "https://[2606:4700:4700:0:0:0:0:1111]:8443/x",
	"https://[2a00:1450:4001::1]/", "https://[2001:4860:4860::8888]/", "https://[2001:200::1]/", "https://[2003::1]/",
	"https://[3ffe::1]/", "https://example.com/" + strings.Repeat("x", MaxURL-len("https://example.com/")),
	"https://" + strings.Repeat("a", 63) + ".com/",
}

func TestHostileURLsAreRefused(t *testing.T) {
	n := 0
	for kind, urls := range hostileURLs {
		for _, raw := range urls {
			n++
			err := Policy{}.CheckURL(raw)
			if !errors.Is(err, ErrBlocked) {
				t.Errorf("%s: %q: got %v, want a refusal", kind, raw, err)
				continue
			}
			if msg := err.Error(); len(msg) > 120 || len(raw) > 30 && strings.Contains(msg, raw) {
				t.Errorf("%s: %q: the message is not for people: %s", kind, raw, msg)
			}
			if err := (Policy{AllowPrivate: true}).CheckURL(raw); kind == "private" && err != nil {
				t.Errorf("%q with AllowPrivate: %v", raw, err)
			} else if kind != "private" && err == nil {
				t.Errorf("%s: %q passed with AllowPrivate", kind, raw)
			}
		}
	}
	if n < 80 {
		t.Errorf("only %d URLs were tried", n)
	}
}

func TestOrdinaryURLsPass(t *testing.T) {
	for _, raw := range goodURLs {
		for _, p := range []Policy{{}, {AllowPrivate: true}} {
			if err := p.CheckURL(raw); err != nil {
				t.Errorf("%q, %+v: %v", raw, p, err)
			}
		}
	}
}

func TestRefusalsSayWhatToChange(t *testing.T) {
	for raw, want := range map[string]string{
		"http://example.com/":         "the URL must begin with https://",
		"https://user@example.com/":   "the URL must not have credentials",
		"https://example.com/#":       "the URL must not have a fragment (#)",
		"https://example.com:80/":     "the URL's port must be 443 or from 1024 to 65535",
		"https://2130706433/":         "the URL's host is a number: write an IPv4 address as four decimal numbers without leading zeros",
		"https://10.1.2.3/":           "the host is a private address, and only public ones are allowed",
		"https://[fe80::1]/":          "the host is a link-local address, and only public ones are allowed",
		"https://[::ffff:127.0.0.1]/": "the URL's host is an IPv4-mapped address: write it as an IPv4 address",
		"https://intranet/":           "the URL's host must be a full domain name",
		"https://x.internal/":         "the URL's host is a local name (.internal), and only public ones are allowed",
		"https://bücher.de/":          "the URL must be ASCII: write an international name in its xn-- form, and the rest percent-encoded",
	} {
		if err := (Policy{}).CheckURL(raw); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", raw, err, want)
		}
	}
}

// What passes is seen by net/url, which the client reads it with, as what was
// checked: no credentials or fragment, and an address that is allowed.
func FuzzCheckURL(f *testing.F) {
	for _, urls := range hostileURLs {
		for _, raw := range urls {
			f.Add(raw)
		}
	}
	for _, raw := range goodURLs {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if (Policy{}).CheckURL(raw) != nil {
			return
		}
		if err := (Policy{AllowPrivate: true}).CheckURL(raw); err != nil {
			t.Fatalf("%q passes, but not with AllowPrivate: %v", raw, err)
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "" {
			t.Fatalf("%q passed, and is %+v, %v", raw, u, err)
		}
		if err := (Policy{}).CheckURL(u.String()); err != nil {
			t.Errorf("%q passed, and as the client writes it does not: %v", raw, err)
		}
		host := u.Hostname()
		if addr, err := netip.ParseAddr(host); err == nil {
			if err := (Policy{}).CheckAddr(addr); err != nil {
				t.Errorf("%q passed: %v", raw, err)
			}
		} else if !strings.Contains(host, ".") || strings.HasSuffix(host, ".") {
			t.Errorf("%q passed with the name %q", raw, host)
		}
	})
}
