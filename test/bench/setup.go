package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// relayScript returns jsmpeg's relay as npm has it, or for recording a copy in which the constant is set that turns
// that on; its recordings go to the folder.
func (b *bench) relayScript(record bool, folder string) (string, error) {
	script := filepath.Join(b.node, "node_modules", "jsmpeg-player", "ws", "websocket-relay.js")
	if !record {
		return script, nil
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return "", err
	}
	changed := bytes.Replace(text, []byte("RECORD_STREAM = false"), []byte("RECORD_STREAM = true"), 1)
	changed = bytes.Replace(changed, []byte("'recordings/'"), fmt.Appendf(nil, "%q", folder+"/"), 1)
	if bytes.Equal(changed, text) {
		return "", fmt.Errorf("%s is not as expected", script)
	}
	f, err := os.CreateTemp(b.work, "relay-*.js")
	if err != nil {
		return "", err
	}
	_, err = f.Write(changed)
	return f.Name(), errors.Join(err, f.Close())
}

// certificate makes a server's certificate once, and returns the file that a client trusts it by.
func (b *bench) certificate() (*tls.Config, string, error) {
	file := filepath.Join(b.work, "ca.pem")
	if b.tls != nil {
		return b.tls, file, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	b.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return b.tls, file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
