package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is far more than any token, and keeps /dev/zero from being one.
const maxSecret = 64 << 10

// ReadSecret reads a secret from a file, or where no file is named from the environment variable env. One newline at
// the end is not part of it. It answers "" only when neither is given; an empty secret, or one of several lines, is an
// error, which names the source and never the secret.
func ReadSecret(file, env string) (string, error) {
	secret, source := "", file
	switch value, ok := os.LookupEnv(env); {
	case file != "":
		var err error
		if secret, err = readSecretFile(file); err != nil {
			return "", err
		}
	case ok:
		secret, source = value, "$"+env
	default:
		return "", nil
	}
	if rest, ok := strings.CutSuffix(secret, "\n"); ok {
		secret = strings.TrimSuffix(rest, "\r")
	}
	if secret == "" {
		return "", fmt.Errorf("read secret: %s is empty", source)
	}
	// It will stand in a header, where a line's end would begin another header.
	if strings.ContainsAny(secret, "\r\n\x00") {
		return "", fmt.Errorf("read secret: %s holds more than one line", source)
	}
	return secret, nil
}

func readSecretFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("read secret: %s is longer than %s", name, FormatSize(maxSecret))
	}
	return string(data), nil
}
