package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/egress"
)

func parsed[T any](field func(*Config) *T, parse func(string) (T, error)) func(*Config, string) error {
	return func(c *Config, text string) error {
		v, err := parse(text)
		if err != nil {
			return err
		}
		*field(c) = v
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) func(*Config, string) error {
	return parsed(field, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			return 0, fmt.Errorf("%q is not a duration from %s to %s, like 30s, 5m or 2h", text, least, most)
		}
		return d, nil
	})
}

func number(field func(*Config) *int, least, most int) func(*Config, string) error {
	return parsed(field, func(text string) (int, error) { return integer(text, least, most) })
}

func integer(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, least, most)
	}
	return n, nil
}

func parseShards(text string) (int, error) {
	n, err := integer(text, 1, 256)
	if err != nil || n&(n-1) != 0 {
		return 0, fmt.Errorf("%q is not a power of two from 1 to 256", text)
	}
	return n, nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func parseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not debug, info, warn or error", text)
}

func parseText(text string) (string, error) {
	if len(text) > 2048 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("holds a space, a control character or one that is not ASCII")
	}
	return text, nil
}

// parseBaseURL takes an absolute URL that paths are put behind.
func parseBaseURL(text string) (string, error) {
	u, err := parseURL(text)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return "", fmt.Errorf("%q must not have a query", text)
	}
	return strings.TrimRight(text, "/"), nil
}

func parseQueueURL(text string) (string, error) {
	if _, err := parseURL(text); err != nil {
		return "", err
	}
	return text, nil
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("is not an absolute URL like https://hooks.example.com")
	}
	if u.User != nil || strings.Contains(text, "#") {
		return nil, errors.New("must not have credentials or a fragment")
	}
	if _, err := parseText(text); err != nil {
		return nil, err
	}
	return u, nil
}

// checkSiviURL refuses at the start what the client would refuse at every call.
func checkSiviURL(text string, allowPrivate bool) error {
	if err := (egress.Policy{AllowPrivate: allowPrivate}).CheckURL(text); err != nil {
		return fmt.Errorf("%q cannot be called: %w", text, err)
	}
	return nil
}

// refusedPrefixes would give headers that gateways, proxies and browsers set,
// change or drop.
var refusedPrefixes = []string{"X", "Sec", "Proxy", "Amz", "X-Amz", "X-Amzn", "X-Forwarded", "Cf", "Content", "Access-Control"}

func parsePrefix(text string) (string, error) {
	ok := len(text) >= 1 && len(text) <= 30 && isLetter(text[0]) && text[len(text)-1] != '-'
	for i := 0; i < len(text) && ok; i++ {
		ok = isLetter(text[i]) || text[i] >= '0' && text[i] <= '9' || text[i] == '-'
	}
	if !ok {
		return "", fmt.Errorf("%q is not 1 to 30 letters, digits and hyphens, with a letter first and no hyphen at the end", text)
	}
	prefix := http.CanonicalHeaderKey(text)
	if slices.ContainsFunc(refusedPrefixes, func(p string) bool {
		return prefix == p || p != "X" && strings.HasPrefix(prefix, p+"-")
	}) {
		return "", fmt.Errorf("%q begins names that gateways and proxies use themselves: choose the name of your product", text)
	}
	return prefix, nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
