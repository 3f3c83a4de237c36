package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// hasBlob asks whether a repository has a blob.
func (s *session) hasBlob(ctx context.Context, repository, digest string) (bool, error) {
	a, err := s.do(ctx, call{method: http.MethodHead, repository: repository, path: "blobs/" + digest, good: []int{200, 404}})
	if err != nil {
		return false, fmt.Errorf("look for blob %s in %s: %w", digest, repository, err)
	}
	return a.status == http.StatusOK, nil
}

// bring puts a blob into a repository: by mounting it from another one of the
// registry that has it, if from names one that does, else by uploading. It
// reports whether bytes were uploaded.
func (s *session) bring(ctx context.Context, repository string, b *Blob, from string) (uploaded bool, err error) {
	u := &upload{session: s, repository: repository, blob: b}
	defer func() { u.done(err) }()
	first := true
	err = s.again(ctx, func(ctx context.Context) error {
		if !first {
			// The failed try can have been the answer's failure only.
			a, err := s.once(ctx, call{method: http.MethodHead, repository: repository, path: "blobs/" + b.Digest, good: []int{200, 404}})
			if err != nil || a.status == http.StatusOK {
				return err
			}
		}
		first = false
		at, err := u.begin(ctx, from)
		if err != nil || at == "" {
			return err
		}
		uploaded = true
		return u.bytes(ctx, at)
	})
	if err != nil {
		return uploaded, fmt.Errorf("upload blob %s to %s: %w", b.Digest, repository, err)
	}
	return uploaded, nil
}

// upload is the upload of one blob.
type upload struct {
	*session
	repository string
	blob       *Blob
	transfer   Transfer
	told       int64 // bytes that the transfer has been told of
}

// begin opens an upload and returns where its bytes go, or nothing if the
// registry has mounted the blob from another repository.
func (u *upload) begin(ctx context.Context, from string) (string, error) {
	path := "blobs/uploads/"
	if from != "" {
		path += "?" + url.Values{"mount": {u.blob.Digest}, "from": {from}}.Encode()
	}
	a, err := u.once(ctx, call{method: http.MethodPost, repository: u.repository, path: path, good: []int{201, 202}})
	var no *Error
	if errors.As(err, &no) && from != "" && !temporaryStatus(no.Status) {
		// Not every registry passes over a mount that it cannot do.
		return u.begin(ctx, "")
	}
	if err != nil {
		return "", err
	}
	if a.status == http.StatusCreated {
		return "", nil
	}
	return u.next(a, "")
}

// next is where the registry wants the upload to go on.
func (u *upload) next(a *answer, otherwise string) (string, error) {
	said := a.header.Get("Location")
	if said == "" && otherwise != "" {
		return otherwise, nil
	}
	at, err := a.url.Parse(said)
	if err != nil || said == "" {
		return "", fmt.Errorf("the registry gives no location for the upload (%q)", said)
	}
	// A registry must not make this machine send files to its own network.
	host := at.Hostname()
	if ip := net.ParseIP(host); host != a.url.Hostname() && ip != nil && !loopback(a.url.Hostname()) &&
		(ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
		return "", &permanentError{fmt.Errorf("the registry wants the upload at %s, an address of a private network: refused", at.Host)}
	}
	return at.String(), nil
}

// bytes sends the blob. Small ones go in one request; of large ones, what has
// arrived when a connection breaks is not sent again if the registry can say
// how much that is.
func (u *upload) bytes(ctx context.Context, at string) error {
	u.start()
	if u.blob.Size < u.resume() {
		return u.finish(ctx, at, 0)
	}
	offset, stuck := int64(0), 0
	for offset < u.blob.Size {
		a, err := u.once(ctx, u.part(http.MethodPatch, at, offset))
		if err == nil {
			if at, err = u.next(a, at); err != nil {
				return err
			}
			break
		}
		if ok, _ := temporary(err); !ok || ctx.Err() != nil || stuck >= 2 {
			return err
		}
		now, more := u.arrived(ctx, at)
		if more == "" || now > u.blob.Size || now < offset {
			return err // from the start, then
		}
		if now == offset {
			stuck++
		}
		offset, at = now, more
	}
	return u.finish(ctx, at, u.blob.Size)
}

// part is a request with the blob's bytes from offset on.
func (u *upload) part(method, at string, offset int64) call {
	c := call{method: method, repository: u.repository, location: at, good: []int{201, 202, 204}, size: u.blob.Size - offset,
		header: map[string]string{"Content-Type": "application/octet-stream"}}
	if offset > 0 {
		c.header["Content-Range"] = fmt.Sprintf("%d-%d", offset, u.blob.Size-1)
	}
	c.body = func() (io.ReadCloser, error) {
		f, err := u.blob.open()
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
		u.tell(offset)
		if u.transfer == nil {
			return f, nil
		}
		return &telling{f, u, offset}, nil
	}
	return c
}

// finish sends the bytes from offset on, if there are any, and names the blob.
func (u *upload) finish(ctx context.Context, at string, offset int64) error {
	address, err := url.Parse(at)
	if err != nil {
		return &permanentError{err}
	}
	q := address.Query()
	q.Set("digest", u.blob.Digest)
	address.RawQuery = q.Encode()
	c := u.part(http.MethodPut, address.String(), offset)
	if offset == u.blob.Size {
		c.body, c.size = nil, 0
		delete(c.header, "Content-Range")
	}
	_, err = u.once(ctx, c)
	var no *Error
	if errors.As(err, &no) {
		switch {
		case no.Code == "DIGEST_INVALID":
			return fmt.Errorf("%w: the bytes that arrived are not those of the digest: the layout or the connection is damaged", err)
		case no.Status == http.StatusNotFound, no.Status == http.StatusRequestedRangeNotSatisfiable, no.Code == "BLOB_UPLOAD_UNKNOWN":
			return fmt.Errorf("the registry has lost the upload: %s", no) // temporary: begin another
		}
	}
	return err
}

// arrived asks how many bytes of an upload have arrived, and where it goes on.
func (u *upload) arrived(ctx context.Context, at string) (int64, string) {
	a, err := u.once(ctx, call{method: http.MethodGet, repository: u.repository, location: at, good: []int{204, 202, 200}})
	if err != nil {
		return 0, ""
	}
	_, last, ok := strings.Cut(strings.TrimPrefix(a.header.Get("Range"), "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || n < 0 {
		return 0, ""
	}
	if n > 0 {
		n++ // the last byte's place; "0-0" is how registries write none
	}
	more, err := u.next(a, at)
	if err != nil {
		return 0, ""
	}
	return n, more
}

func (u *upload) start() {
	if u.Progress != nil && u.transfer == nil {
		u.transfer = u.Progress.Start(short(u.blob.Digest), u.blob.Size)
	}
}

func (u *upload) done(err error) {
	if u.transfer != nil {
		u.transfer.Done(err)
	}
}

// tell says that so many bytes have left.
func (u *upload) tell(n int64) {
	if u.transfer != nil && n != u.told {
		u.transfer.Add(n - u.told)
		u.told = n
	}
}

type telling struct {
	io.ReadCloser
	u  *upload
	at int64
}

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.at += int64(n)
	t.u.tell(t.at)
	return n, err
}

// short is a digest as people tell it from another.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}
