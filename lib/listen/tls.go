package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLSFiles are where a listener's certificate comes from.
type TLSFiles struct {
	Cert, Key string
	// ClientCA, if not "", has the authorities of which every client must show a certificate.
	ClientCA string
}

// Log takes what the owner of the files should know. Its methods are those of slog.Logger.
type Log interface {
	Info(msg string, args ...any)
	Error(msg string, args ...any)
}

// TLS is a configuration that follows its files: each handshake looks whether they have changed, and Reload reads them.
// Files that have become bad change nothing and are reported once.
type TLS struct {
	files TLSFiles
	log   Log
	now   atomic.Pointer[tls.Config]

	reading sync.Mutex // held while the files are read; protects the rest
	seen    []fs.FileInfo
	failure string // what was last reported
}

// OpenTLS reads the files.
func OpenTLS(files TLSFiles, log Log) (*TLS, error) {
	t := &TLS{files: files, log: log}
	t.seen, _ = t.stat() // what cannot be read is an error of load
	config, err := t.load()
	if err != nil {
		return nil, err
	}
	t.now.Store(config)
	return t, nil
}

// Config is what tls.NewListener and tls.Server take. It speaks TLS 1.3, and 1.2 with forward secrecy and authenticated
// encryption only.
func (t *TLS) Config() *tls.Config {
	config := t.now.Load().Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		t.checkFiles()
		return t.now.Load(), nil
	}
	return config
}

// suites are those of TLS 1.2 with forward secrecy and authenticated encryption.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func (t *TLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s and key %s: %w", t.files.Cert, t.files.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites,
		NextProtos:   []string{"http/1.1"},
	}
	if t.files.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(t.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read certificate authorities from %s: there is no certificate in PEM form",
			t.files.ClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.SessionTicketsDisabled = true // a ticket would outlive the authority that it rests on
	return config, nil
}

// stat returns how the files look.
func (t *TLS) stat() ([]fs.FileInfo, error) {
	var all []fs.FileInfo
	for _, name := range []string{t.files.Cert, t.files.Key, t.files.ClientCA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// followInterval is how often Follow looks at the files.
const followInterval = 5 * time.Second

// Follow looks at the files every five seconds until ctx ends, so that a bad certificate is reported before it is
// needed.
func (t *TLS) Follow(ctx context.Context) {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.checkFiles()
		case <-ctx.Done():
			return
		}
	}
}

// Reload reads the files now.
func (t *TLS) Reload() {
	t.reading.Lock()
	defer t.reading.Unlock()
	t.read()
}

// checkFiles reads the files if they look changed. It never waits: while another goroutine reads, what was read before
// counts.
func (t *TLS) checkFiles() {
	if !t.reading.TryLock() {
		return
	}
	defer t.reading.Unlock()
	infos, err := t.stat()
	if err != nil || !same(infos, t.seen) {
		t.read()
	}
}

func same(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// read reads the files. t.reading is held.
func (t *TLS) read() {
	infos, err := t.stat() // before their content: what changes meanwhile is read again
	var config *tls.Config
	if err == nil {
		t.seen = infos
		config, err = t.load()
	}
	if err != nil {
		if err.Error() != t.failure {
			t.failure = err.Error()
			t.log.Error("certificate not taken; the one before it stays in force", "err", err)
		}
		return
	}
	t.failure = ""
	t.now.Store(config)
	t.log.Info("certificate read again", "cert", t.files.Cert)
}
