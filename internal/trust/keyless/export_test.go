package keyless

import "context"

// Stamp asks for a timestamp as signing does.
func Stamp(ctx context.Context, url string, signature []byte) ([]byte, error) {
	data, _, err := newClient(nil).stamp(ctx, url, signature)
	return data, err
}
