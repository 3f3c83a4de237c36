package sign

import (
	"encoding/json"
	"fmt"
)

// simple is the payload of an older signature: see containers-signature(5).
type simple struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

const simpleSigning = "cosign container image signature"

// Simple makes the payload of an older signature.
func Simple(reference, digest string) ([]byte, error) {
	var s simple
	s.Critical.Identity.Reference, s.Critical.Image.Digest, s.Critical.Type = reference, digest, simpleSigning
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return payload, nil
}

// SimpleDigest reads the digest of a payload, verified or not.
func SimpleDigest(payload []byte) (string, error) {
	var s simple
	if err := json.Unmarshal(payload, &s); err != nil {
		return "", fmt.Errorf("read signature's payload: %w", err)
	}
	if s.Critical.Type != simpleSigning {
		return "", fmt.Errorf("read signature's payload: type %q, expected %q", s.Critical.Type, simpleSigning)
	}
	return s.Critical.Image.Digest, nil
}
