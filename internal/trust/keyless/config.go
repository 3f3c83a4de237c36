package keyless

import (
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
)

// ParseSigningConfig reads the services of a sigstore signing config, as JSON:
// those that are valid at that time, as many as it asks for.
func ParseSigningConfig(data []byte, at time.Time) (*Services, error) {
	c, err := root.NewSigningConfigFromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("read signing config: %w", err)
	}
	ca, err := root.SelectService(c.FulcioCertificateAuthorityURLs(), sigstore.FulcioAPIVersions, at)
	if err != nil {
		return nil, fmt.Errorf("read signing config: certificate authority: %w", err)
	}
	s := &Services{Fulcio: ca.URL}
	if all := c.RekorLogURLs(); len(all) > 0 {
		logs, err := root.SelectServices(all, c.RekorLogURLsConfig(), sigstore.RekorAPIVersions, at)
		if err != nil {
			return nil, fmt.Errorf("read signing config: log: %w", err)
		}
		for _, l := range logs {
			s.Logs = append(s.Logs, Log{URL: l.URL, Version: l.MajorAPIVersion})
		}
	}
	if all := c.TimestampAuthorityURLs(); len(all) > 0 {
		stamps, err := root.SelectServices(all, c.TimestampAuthorityURLsConfig(), sigstore.TimestampAuthorityAPIVersions, at)
		if err != nil {
			return nil, fmt.Errorf("read signing config: timestamp authority: %w", err)
		}
		for _, t := range stamps {
			s.Timestamps = append(s.Timestamps, t.URL)
		}
	}
	return s, s.Check()
}
