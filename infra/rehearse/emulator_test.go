//go:build rehearse

package rehearse

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	region     = "us-east-1"
	awsAccount = "000000000000"
	// rootKey is the emulator's key that may do anything: the deployer's.
	rootKey = "test"
)

// An emulator is AWS on this machine, and what it takes to trust it.
type emulator struct {
	url         string
	certificate tls.Certificate
	roots       *x509.CertPool
	bundle      string // the file that SSL_CERT_FILE names
	client      *http.Client
	log         string
}

// freePort returns a port of 127.0.0.1 that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newCertificate makes the certificate that the emulator and the destinations
// show, and writes it where the functions look for what they trust.
func newCertificate(t *testing.T, dir string) (tls.Certificate, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rehearsal"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certFile, keyFile
}

// startEmulator runs the emulator of a virtual environment until the test ends.
// It checks signatures and roles, speaks TLS, runs functions as processes of
// this machine, and listens on 127.0.0.1 alone. The functions inherit its
// environment, so that this is where they are told that AWS is here.
func startEmulator(t *testing.T) *emulator {
	t.Helper()
	dir := t.TempDir()
	program := os.Getenv("REHEARSE_EMULATOR")
	if program == "" {
		t.Fatal("REHEARSE_EMULATOR does not name the emulator: run make rehearse")
	}
	pair, certFile, keyFile := newCertificate(t, dir)
	port := freePort(t)
	e := &emulator{url: fmt.Sprintf("https://127.0.0.1:%d", port), certificate: pair, roots: x509.NewCertPool(), bundle: certFile, log: filepath.Join(dir, "emulator.log")}
	text, err := os.ReadFile(certFile)
	if err != nil || !e.roots.AppendCertsFromPEM(text) {
		t.Fatalf("the certificate: %v", err)
	}
	e.client = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.roots}, MaxIdleConnsPerHost: 64}}
	logFile, err := os.Create(e.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logFile.Close() })
	cmd := exec.Command(program)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir,
		"BIND_HOST=127.0.0.1", "MINISTACK_HOST=localhost", "GATEWAY_PORT=" + strconv.Itoa(port), "MINISTACK_REGION=" + region,
		"AUTH=true", "LAMBDA_EXECUTOR=local", "LAMBDA_STRICT=0", "USE_SSL=1", "MINISTACK_SSL_CERT=" + certFile, "MINISTACK_SSL_KEY=" + keyFile,
	}, e.environment()...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = logFile, logFile, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the functions' processes end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if t.Failed() {
			t.Logf("the emulator said at the end:\n%s", e.tail(6000))
		}
	})
	for end := time.Now().Add(60 * time.Second); ; {
		req, err := http.NewRequestWithContext(context.Background(), "GET", e.url+"/_ministack/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.client.Do(req)
		if err == nil {
			resp.Body.Close()
			return e
		}
		if time.Now().After(end) {
			t.Fatalf("the emulator does not answer: %v\n%s", err, e.tail(4000))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// environment is what tells a program that AWS is this emulator.
func (e *emulator) environment() []string {
	env := []string{"SSL_CERT_FILE=" + e.bundle, "AWS_REGION=" + region}
	for _, service := range []string{"DYNAMODB", "SQS", "SECRETS_MANAGER"} {
		env = append(env, "AWS_ENDPOINT_URL_"+service+"="+e.url)
	}
	return env
}

// tail returns the last n bytes that the emulator has written.
func (e *emulator) tail(n int) string {
	text, _ := os.ReadFile(e.log)
	return string(bytes.TrimSpace(text[max(0, len(text)-n):]))
}
