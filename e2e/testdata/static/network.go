//go:build !small

package main

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
)

func network() {
	certificates()
	port, err := net.LookupPort("udp", "ntp")
	if err != nil {
		bad("service: %v", err)
	}
	want("port of ntp", port, 123)
}

// certificates checks that the system pool is the file's, and a full one.
func certificates() {
	file := os.Getenv("SSL_CERT_FILE")
	want("SSL_CERT_FILE", file, "/etc/ssl/certs/ca-certificates.crt")
	data, err := os.ReadFile(file)
	if err != nil {
		bad("certificates: %v", err)
		return
	}
	own, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			bad("certificate %d: %v", n, err)
			continue
		}
		own.AddCert(c)
		n++
	}
	if n <= 100 {
		bad("%d certificates, want more than 100", n)
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		bad("system pool: %v", err)
		return
	}
	want("system pool is the file's", system.Equal(own), true)
}
