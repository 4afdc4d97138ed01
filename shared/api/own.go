package api

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// errOwnURL is why a URL of this deployment is refused as an endpoint's.
var errOwnURL = errors.New("the URL is one of this relay's own, and events would go round in circles")

// checkURL judges the URL of an endpoint: by the rules for all, and it may not
// lead back here, neither by PUBLIC_URL nor by the host that this call came to.
func (s *server) checkURL(c *call, raw string) error {
	if err := s.URLs.CheckURL(raw); err != nil {
		return err
	}
	to := place(raw)
	scheme := "https://"
	if strings.HasPrefix(raw, "http://") {
		scheme = "http://" // of the host we are called by, the port alone is known
	}
	for _, own := range []string{s.PublicURL, scheme + c.r.Host} {
		if p := place(own); p != "" && p == to {
			return errOwnURL
		}
	}
	return nil
}

// place returns host and port of a URL in one form, "" if it has none. All
// addresses and names of this machine are one.
func place(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified()) || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "localhost"
	}
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	} else if port == "" {
		port = "80"
	}
	return host + ":" + port
}
