package vwingest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/ingest"
	"github.com/timdrysdale/vw/lib/listen"
)

// door is what vw-ingest opens for its publishers: sockets, tokens and certificates.
type door struct {
	cfg       *config
	listeners []*listen.Listener
	refusals  *access.RefusalLog
	stop      context.CancelFunc // ends the goroutines that follow the files
	following sync.WaitGroup

	mu     sync.Mutex // protects the rest: SIGHUP may come at any time
	tokens *access.Tokens
	tls    *listen.TLS
}

// open opens everything, and leaves to the caller what the process has only one of.
func (d *door) open(p *cli.Pipe) (o ingest.Options, err error) {
	cfg := d.cfg
	o = ingest.Options{
		AllowCrossOrigin: cfg.noAuth, MaxPerAddress: cfg.maxPerAddress, Proxies: cfg.proxies,
		Publishers: cfg.publishers, Once: cfg.once, IdleTimeout: cfg.idleTimeout, MaxBody: cfg.maxBody,
		Format: p.Format, Live: p.Live, Buffer: p.Buffer, MaxAge: p.MaxAge, Linger: p.Linger,
		Ledger: p.Ledger, Log: p.Throttled.For("vw-ingest"),
	}
	if cfg.pull != nil {
		o.Pull = cfg.pull.source()
		return o, nil
	}
	d.refusals = access.NewRefusalLog(p.Log)
	o.Refusals = d.refusals
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := d.openFiles(p); err != nil {
		return o, err
	}
	o.Tokens = d.tokens
	if d.tls != nil {
		o.TLS = d.tls.Config()
	}
	for _, a := range cfg.addresses {
		ln, err := a.Open(cfg.mode)
		if err != nil {
			return o, cli.WithHint(err, "choose another address with --listen, or 127.0.0.1:0 for any free port")
		}
		d.listeners = append(d.listeners, ln)
		if d.tokens == nil && !cfg.noAuth && !ln.Loopback { // of a socket that was open, known only now
			return o, openToAll(a.String())
		}
		o.Listeners = append(o.Listeners, net.Listener(ln))
	}
	return o, nil
}

// openFiles opens the tokens and certificates, and follows their files.
func (d *door) openFiles(p *cli.Pipe) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	if d.tokens, err = d.cfg.openTokens(p.Log); err != nil {
		return err
	}
	if d.tokens != nil {
		d.following.Go(func() { d.tokens.Follow(ctx) })
	}
	if d.cfg.tls.Cert == "" {
		return nil
	}
	if d.tls, err = listen.OpenTLS(d.cfg.tls, p.Log); err != nil {
		return fmt.Errorf("--tls-cert: %w", err)
	}
	d.following.Go(func() { d.tls.Follow(ctx) })
	return nil
}

// reload returns what SIGHUP does: read the files again. It is nil if there are none.
func (d *door) reload() func() {
	if d.cfg.tokenFile == "" && d.cfg.tls.Cert == "" {
		return nil
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.tokens != nil {
			d.tokens.Reload()
		}
		if d.tls != nil {
			d.tls.Reload()
		}
	}
}

// announce logs where publishers are expected.
func (d *door) announce(p *cli.Pipe) {
	if d.cfg.pull != nil {
		p.Log.Info("pulling", "from", d.cfg.pull.source().Name)
		return
	}
	scheme := "http"
	if d.tls != nil {
		scheme = "https"
	}
	for _, ln := range d.listeners {
		p.Log.Info("listening", "addr", ln.Addr().String(), "url", ln.URL(scheme))
	}
	cli.NotifyReady()
}

func (d *door) close() {
	for _, ln := range d.listeners {
		_ = ln.Close()
	}
	if d.stop != nil {
		d.stop()
	}
	d.following.Wait()
	if d.refusals != nil {
		d.refusals.Flush()
	}
}
