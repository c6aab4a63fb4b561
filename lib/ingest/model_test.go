package ingest

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"
)

// The model says which bytes may come out of a connection. It is written from the standards and the documentation, and
// shares no code with the server. It takes whole inputs and may be slow.

// verdict is what the model thinks of a connection's header.
type verdict int

const (
	refused  verdict = iota // nothing may come out
	unsure                  // the model's bytes, or nothing
	accepted                // the model's bytes
)

var (
	modelVersion = regexp.MustCompile(`^HTTP/1\.[0-9]$`)
	modelName    = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
	modelValue   = regexp.MustCompile(`^[^\x00-\x08\x0a-\x1f\x7f]*$`) // of a byte that is no UTF-8, too
	modelLength  = regexp.MustCompile(`^[0-9]{1,18}$`)
	modelSize    = regexp.MustCompile(`^[0-9A-Fa-f]{1,16}$`)
	modelHost    = regexp.MustCompile(`^[a-z0-9.]+$`)
)

// model returns what may come out of a connection on which data arrives, where the token is sesame.
func model(data []byte) (verdict, []byte) {
	lines, rest, ok := modelLines(data)
	if !ok {
		return refused, nil
	}
	first := strings.Split(lines[0], " ")
	if len(first) != 3 || !modelVersion.MatchString(first[2]) {
		return refused, nil
	}
	fields := map[string][]string{}
	for _, line := range lines[1:] {
		name, value, colon := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !colon || !modelName.MatchString(name) || !modelValue.MatchString(value) {
			return refused, nil
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], value)
	}
	old := first[2] == "HTTP/1.0"
	v := min(modelHosts(fields["host"], old), modelToken(first[1], fields["authorization"]))
	if v == refused {
		return refused, nil
	}
	if upgrade := strings.ToLower(strings.Join(fields["upgrade"], ",")); first[0] == "GET" {
		if !strings.Contains(upgrade, "websocket") || old {
			return refused, nil
		}
		canonical := upgrade == "websocket" && strings.EqualFold(strings.Join(fields["connection"], ","), "upgrade") &&
			strings.Join(fields["sec-websocket-version"], ",") == "13" &&
			strings.Join(fields["sec-websocket-key"], ",") == "dGhlIHNhbXBsZSBub25jZQ==" && modelPlain(fields)
		return modelSure(v, canonical), modelFrames(rest)
	}
	if first[0] != "POST" && first[0] != "PUT" {
		return refused, nil
	}
	for _, value := range fields["expect"] {
		if value != "" && !strings.EqualFold(value, "100-continue") {
			return refused, nil
		}
	}
	for _, value := range fields["content-encoding"] {
		if !strings.EqualFold(value, "identity") {
			v = unsure
		}
	}
	lengths, codings := fields["content-length"], fields["transfer-encoding"]
	if len(codings) > 0 {
		if old || len(codings) > 1 || !strings.EqualFold(codings[0], "chunked") {
			return refused, nil
		}
		return modelSure(v, len(lengths) == 0 && modelPlain(fields)), modelChunks(rest)
	}
	for _, value := range lengths {
		if value != lengths[0] || !modelLength.MatchString(value) {
			return refused, nil
		}
	}
	if len(lengths) == 0 {
		return refused, nil
	}
	n, _ := strconv.Atoi(lengths[0])
	return modelSure(v, modelPlain(fields)), rest[:min(n, len(rest))]
}

// modelPlain reports whether there are only fields that the model knows all about.
func modelPlain(fields map[string][]string) bool {
	for name := range fields {
		switch name {
		case "host", "authorization", "content-length", "transfer-encoding", "expect", "content-encoding", "x",
			"upgrade", "connection", "sec-websocket-version", "sec-websocket-key":
		default:
			return false
		}
	}
	return true
}

func modelSure(v verdict, sure bool) verdict {
	if !sure {
		return min(v, unsure)
	}
	return v
}

// modelLines takes the lines of a header apart.
func modelLines(data []byte) (lines []string, rest []byte, ok bool) {
	size := 0
	for {
		line, after, whole := bytes.Cut(data, []byte("\n"))
		if size += len(line) + 1; !whole || size > 16<<10 || !modelLine(line) {
			return nil, nil, false
		}
		data, line = after, line[:len(line)-1]
		if len(line) == 0 {
			return lines, data, len(lines) > 0
		}
		if lines = append(lines, string(line)); len(lines) > 65 || line[0] == ' ' || line[0] == '\t' {
			return nil, nil, false
		}
	}
}

// modelLine reports whether what precedes a line feed ends in the only carriage return of its line.
func modelLine(line []byte) bool { return len(line) > 0 && bytes.IndexByte(line, '\r') == len(line)-1 }

func modelHosts(hosts []string, old bool) verdict {
	switch {
	case len(hosts) > 1 || len(hosts) == 0 && !old:
		return refused
	case len(hosts) == 1 && !modelHost.MatchString(hosts[0]):
		return unsure
	}
	return accepted
}

// modelToken judges the token that a request shows.
func modelToken(target string, authorization []string) verdict {
	path, _, _ := strings.Cut(target, "?")
	first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	plain := regexp.MustCompile(`^/[-a-z0-9/]*$`).MatchString(target)
	switch {
	case plain && first == "sesame" && len(authorization) == 0:
		return accepted
	case strings.Contains(target, "%") || !strings.HasPrefix(target, "/") || first == "sesame":
		return unsure
	}
	for _, a := range authorization {
		if strings.HasPrefix(strings.ToLower(a), "basic ") {
			return unsure
		}
		scheme, token, _ := strings.Cut(a, " ")
		if strings.EqualFold(scheme, "bearer") && strings.TrimSpace(token) == "sesame" {
			return modelSure(accepted, plain && len(authorization) == 1)
		}
	}
	return refused
}

// modelChunks decodes a chunked body (RFC 9112, 7.1) as far as it goes.
func modelChunks(b []byte) (out []byte) {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok || !modelLine(line) || len(line) >= 4096 {
			return out
		}
		size, _, _ := strings.Cut(string(line[:len(line)-1]), ";")
		size = strings.TrimRight(size, " \t")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || !modelSize.MatchString(size) || n == 0 {
			return out
		}
		data := rest[:min(n, int64(len(rest)))]
		out = append(out, data...)
		if b, ok = bytes.CutPrefix(rest[len(data):], []byte("\r\n")); !ok {
			return out
		}
	}
}

// modelFrames decodes the binary messages of a client (RFC 6455, 5) as far as they go.
func modelFrames(b []byte) (out []byte) {
	inside := false
	for len(b) >= 2 {
		final, opcode, length := b[0]&0x80 != 0, b[0]&0x0f, uint64(b[1]&0x7f)
		if b[0]&0x70 != 0 || b[1]&0x80 == 0 {
			return out
		}
		b = b[2:]
		if extended := map[uint64]int{126: 2, 127: 8}[length]; extended > 0 {
			if len(b) < extended {
				return out
			}
			length = binary.BigEndian.Uint64(append(make([]byte, 8-extended), b[:extended]...))
			b = b[extended:]
		}
		if len(b) < 4 || length > 1<<63-1 {
			return out
		}
		key := b[:4]
		payload := b[4:][:min(length, uint64(len(b)-4))]
		b = b[4+len(payload):]
		switch {
		case opcode == 9 || opcode == 10:
			if !final || length > 125 {
				return out
			}
			continue
		case opcode == 2 && !inside, opcode == 0 && inside:
			inside = !final
		default: // text, a close frame, or what is not allowed
			return out
		}
		for i, c := range payload {
			out = append(out, c^key[i%4])
		}
	}
	return out
}
