package keyless

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	// timeout bounds one request.
	timeout = 30 * time.Second
	// retries are made after connections that break, 5xx and 429, with growing
	// pauses and never before a Retry-After.
	retries = 3
	// maxAnswer bounds what a service may answer, in bytes.
	maxAnswer = 1 << 20
)

// client speaks with the services.
type client struct{ http *retryablehttp.Client }

func newClient(transport http.RoundTripper) *client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: transport, Timeout: timeout}
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax, c.Logger = retries, 500*time.Millisecond, 10*time.Second, nil
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler // the last answer says what is wrong
	return &client{c}
}

func (c *client) post(ctx context.Context, url, mediaType string, body []byte) ([]byte, error) {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	return c.do(req)
}

func (c *client) get(ctx context.Context, url, token string) ([]byte, error) {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return c.do(req)
}

func (c *client) do(req *retryablehttp.Request) ([]byte, error) {
	req.Header.Set("User-Agent", "distroless")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("it answers %s: %s", resp.Status, excerpt(data))
	}
	return data, nil
}

// excerpt is the beginning of an answer, on one line.
func excerpt(data []byte) string {
	const most = 300
	text := strings.Join(strings.Fields(string(data[:min(len(data), most)])), " ")
	return strings.ToValidUTF8(text, "")
}

// certify asks Fulcio for a certificate of a key, and returns it with the
// authorities above it. See Fulcio's API, version 2: CreateSigningCertificate.
func (c *client) certify(ctx context.Context, address, token string, key crypto.Signer) ([]*x509.Certificate, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	var request struct {
		Credentials struct {
			Token string `json:"oidcIdentityToken"`
		} `json:"credentials"`
		CSR []byte `json:"certificateSigningRequest"`
	}
	request.Credentials.Token = token
	request.CSR = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	data, err := c.post(ctx, strings.TrimRight(address, "/")+"/api/v2/signingCert", "application/json", body)
	if err != nil {
		return nil, err
	}
	return parseChain(data)
}

// parseChain reads Fulcio's answer.
func parseChain(data []byte) ([]*x509.Certificate, error) {
	type issued struct {
		Chain struct{ Certificates []string }
	}
	var answer struct{ SignedCertificateEmbeddedSct, SignedCertificateDetachedSct issued }
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, err
	}
	list := answer.SignedCertificateEmbeddedSct.Chain.Certificates
	if len(list) == 0 {
		list = answer.SignedCertificateDetachedSct.Chain.Certificates
	}
	var chain []*x509.Certificate
	for rest := []byte(strings.Join(list, "\n")); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate in the answer")
	}
	return chain, nil
}

// requestToken asks the service that GitHub Actions names for an identity token.
func (c *client) requestToken(ctx context.Context, address, bearer string) (string, error) {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	data, err := c.get(ctx, address+separator+"audience="+audience, bearer)
	if err != nil {
		return "", err
	}
	var answer struct{ Value string }
	if err := json.Unmarshal(bytes.TrimSpace(data), &answer); err != nil {
		return "", err
	}
	return answer.Value, nil
}
