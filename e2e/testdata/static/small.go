//go:build small

package main

import (
	"encoding/pem"
	"os"
)

// network is what can be said without the packages for networks, which take
// minutes to compile for an architecture that nothing has been compiled for.
func network() {
	data, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		bad("certificates: %v", err)
	}
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	if n <= 100 {
		bad("%d certificates, want more than 100", n)
	}
}
