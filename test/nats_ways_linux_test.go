package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// natsWay is a way to a server, with what proves the right to it in files.
type natsWay struct {
	config string // of the server
	scheme string // of its URL
	// good are the contents that the server takes, by the file's flag; at first others are in the files.
	good map[string][]byte
	bad  map[string][]byte
	want string // what vw-nats says of those
}

// natsWays are made anew for each run.
var natsWays = map[string]func(t *testing.T) natsWay{
	"tls with a client's certificate": func(t *testing.T) natsWay {
		return overTLS(t, "tls", "tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }")
	},
	"wss": func(t *testing.T) natsWay {
		return overTLS(t, "wss", "websocket { listen: LISTEN, tls { cert_file: %q, key_file: %q, ca_file: %q } }")
	},
	"token": func(*testing.T) natsWay {
		return natsWay{
			config: "authorization { token: good }", scheme: "nats",
			good: map[string][]byte{"token-file": []byte("good\n")},
			bad:  map[string][]byte{"token-file": []byte("bad\n")},
			want: `(?i)authorization violation.*hint=.*--token-file`,
		}
	},
	"nkey": func(t *testing.T) natsWay {
		good, bad := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
		return natsWay{
			config: fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", good.public), scheme: "nats",
			good: map[string][]byte{"nkey": good.seed}, bad: map[string][]byte{"nkey": bad.seed},
			want: `(?i)authorization violation.*hint=.*--nkey`,
		}
	},
	"creds": func(t *testing.T) natsWay {
		operator, user := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateUser)
		system, account, stranger := newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount),
			newKey(t, nkeys.CreateAccount)
		limits := map[string]any{"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
			"leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
		creds := func(issuer natsKey) []byte {
			token := jwt(t, issuer, user, map[string]any{"type": "user", "version": 2, "subs": -1, "data": -1,
				"payload": -1})
			return fmt.Appendf(nil, "-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
				"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", token, user.seed)
		}
		config := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { ",
			jwt(t, operator, operator, map[string]any{"type": "operator", "version": 2}), system.public)
		for _, k := range []natsKey{system, account} {
			claims := map[string]any{"type": "account", "version": 2}
			if k.public == account.public {
				claims["limits"] = limits
			}
			config += fmt.Sprintf("%s: %s\n", k.public, jwt(t, operator, k, claims))
		}
		return natsWay{
			config: config + "}", scheme: "nats",
			good: map[string][]byte{"creds": creds(account)}, bad: map[string][]byte{"creds": creds(stranger)},
			want: `(?i)authorization violation.*hint=.*--creds`,
		}
	},
}

// overTLS is a way with certificates, of an authority that is not trusted at first.
func overTLS(t *testing.T, scheme, config string) natsWay {
	t.Helper()
	good, other := newAuthority(t), newAuthority(t)
	serverCert, serverKey := good.server("127.0.0.1")
	cert, key := good.client()
	w := natsWay{
		config: fmt.Sprintf(config, serverCert, serverKey, good.file), scheme: scheme,
		good: map[string][]byte{"ca": read(t, good.file), "cert": read(t, cert), "key": read(t, key)},
		want: `(?i)certificate.*unknown authority.*hint=.*--ca`,
	}
	w.bad = map[string][]byte{"ca": read(t, other.file), "cert": w.good["cert"], "key": w.good["key"]}
	return w
}

// TestNATSWays: each way to prove who one is works with a real server, and its files are read again at each dial: a
// vw-nats pub that is refused, and that says why, goes on when they are right.
func TestNATSWays(t *testing.T) {
	t.Parallel()
	ts := read(t, sample("mpeg1.ts"))
	for name, way := range natsWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := way(t)
			addr := freeAddrs(t, 1)[0]
			c := startNATS(t, 1, strings.Replace(w.config, "LISTEN", addr, 1))
			if !strings.Contains(w.config, "LISTEN") {
				_, addr, _ = strings.Cut(c.nodes[0].url, "://")
			}
			args := []string{"pub", "--server", w.scheme + "://" + addr, "--retain", "CAM", "--create", "--backoff-max",
				"250ms"}
			files := map[string]string{}
			for flag, content := range w.bad {
				files[flag] = write(t, flag, content)
				args = append(args, "--"+flag, files[flag])
			}
			p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", append(args, "cam")...)
			p.find(p.stderr, `no connection.*`+w.want)
			for flag, content := range w.good {
				// At once: half a file would be another error.
				next := write(t, flag, content)
				if err := os.Rename(next, files[flag]); err != nil {
					t.Fatal(err)
				}
			}
			p.expect(0)
			p.all(int64(len(ts)))
		})
	}
}

// TestNATSThroughProxy: where the direct way is closed, a real proxy carries the stream.
func TestNATSThroughProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ts := read(t, sample("mpeg1.ts"))
	server := s.relay.start(wiring{}, nil, "nats-server", "-a", "10.81.2.1", "-p", "4222", "-js", "-sd", t.TempDir())
	server.find(server.stderr, "Server is ready")
	for kind, begin := range proxyKinds {
		proxy := begin(t, s, "", "")
		s.camera.await(proxy)
		ledger := filepath.Join(t.TempDir(), "ledger.json")
		p := s.camera.start(wiring{stdin: bytes.NewReader(ts)}, environment("ws", proxy), "vw-nats", "pub", "--server",
			"nats://10.81.2.1:4222", "--retain", kind, "--create", "--ledger", ledger, kind)
		p.ledger = ledger
		p.expect(0)
		p.all(int64(len(ts)))
	}
}

// natsKey is a key of NATS.
type natsKey struct {
	pair   nkeys.KeyPair
	public string
	seed   []byte
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) (k natsKey) {
	t.Helper()
	var err error
	if k.pair, err = create(); err == nil {
		k.public, err = k.pair.PublicKey()
	}
	if err == nil {
		k.seed, err = k.pair.Seed()
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// jwt signs what a server should know of the owner of a key.
func jwt(t *testing.T, issuer, subject natsKey, claims map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := encode(map[string]string{"typ": "JWT", "alg": "ed25519-nkey"}) + "." + encode(map[string]any{
		"jti": subject.public, "iat": time.Now().Unix(), "iss": issuer.public, "sub": subject.public, "name": "test",
		"nats": claims,
	})
	signature, err := issuer.pair.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
