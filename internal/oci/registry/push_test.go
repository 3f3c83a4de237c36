package registry

import (
	"slices"
	"strings"
	"testing"
)

// TestPush pushes two images, then again. If it fails, images do not arrive,
// or every release costs the whole traffic.
func TestPush(t *testing.T) {
	host := start(t, true)
	p := mustPlan(t, two(t), Naming{To: host + "/team", DefaultDistro: "debian13", Release: "2026.1"})
	c := quick()
	st, err := c.Examine(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	blobs, bytes, manifests := st.Summary()
	first, err := c.Push(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	check(t, host, p)
	if first.Uploaded != bytes || first.Blobs[Upload] != blobs[Upload] || first.Manifests != manifests {
		t.Errorf("uploaded %d bytes, %v and %d manifests; the dry run said %d, %v and %d", first.Uploaded, first.Blobs, first.Manifests, bytes, blobs, manifests)
	}
	// Every blob is uploaded once, whatever the number of repositories.
	if len(p.blobs) != first.Blobs[Upload] {
		t.Errorf("%d uploads of %d blobs", first.Blobs[Upload], len(p.blobs))
	}
	again, err := c.Push(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if again.Uploaded != 0 || again.Manifests != 0 || again.Tags != 0 || again.Blobs[Upload]+again.Blobs[Mount] != 0 {
		t.Errorf("the second push was not for nothing: %+v", again)
	}
	n := 1 // the first question, which scheme and credentials it wants
	for _, r := range p.Repositories {
		n += len(r.Tags)
	}
	if again.Requests > int64(n)+1 {
		t.Errorf("the second push made %d requests, want %d", again.Requests, n)
	}
}

// TestRelease pushes another image under a release's tag. If it fails, a
// release that people have pinned changes under them.
func TestRelease(t *testing.T) {
	host := start(t, true)
	sources := two(t)
	first := mustPlan(t, sources[:1], Naming{To: host, Release: "v1"})
	if _, err := quick().Push(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	other := sources[1]
	other.Image = "base"
	second := mustPlan(t, []Source{other}, Naming{To: host, Release: "v1"})
	_, err := quick().Push(t.Context(), second)
	if err == nil || !strings.Contains(err.Error(), "base-debian13:v1 is there already, for sha256:") {
		t.Errorf("the error is %v", err)
	}
	check(t, host, first)
}

// TestNames holds the published names against the documented ones. If it
// fails, people pull images that are not there.
func TestNames(t *testing.T) {
	n := Naming{DefaultDistro: "debian13", Release: "r1", Images: []string{"java21", "nodejs", "nodejs20", "python3"}}
	for _, c := range []struct{ image, distro, version, tag, want string }{
		{"base", "debian12", "", "latest", "base-debian12:latest base-debian12:r1"},
		{"base", "debian13", "", "nonroot-arm64", "base-debian13:nonroot-arm64 base:nonroot-arm64"},
		{"python3", "debian13", "3.13.5", "nonroot", "python3-debian13:nonroot python3:nonroot python3-debian13:3.13.5-nonroot python3-debian13:r1-nonroot python3:3.13.5-nonroot python3:r1-nonroot python3-debian13:3-nonroot"},
		{"java21", "debian12", "21.0.8+9", "debug", "java21-debian12:debug java21-debian12:21.0.8-debug java21-debian12:r1-debug java-debian12:21-debug"},
		{"java17", "debian12", "", "latest", "java17-debian12:latest java17-debian12:r1 java-debian12:17"},
		{"nodejs", "debian12", "1:18.19.0+dfsg-6", "latest", "nodejs-debian12:latest nodejs-debian12:18.19.0 nodejs-debian12:r1 nodejs-debian12:18"},
		// The major version belongs to the image that has it in its name.
		{"nodejs", "debian12", "20.19.2+dfsg-1", "latest", "nodejs-debian12:latest nodejs-debian12:20.19.2 nodejs-debian12:r1"},
		{"nodejs20", "debian12", "20.19.2+dfsg-1", "nonroot", "nodejs20-debian12:nonroot nodejs20-debian12:20.19.2-nonroot nodejs20-debian12:r1-nonroot nodejs-debian12:20-nonroot"},
		{"java-base", "debian12", "", "latest", "java-base-debian12:latest java-base-debian12:r1"},
		{"app", "", "", "latest", "app:latest app:r1"},
	} {
		var got []string
		for _, one := range n.names(c.image, c.distro, c.version, c.tag) {
			if one.immutable != strings.HasPrefix(one.tag, "r1") {
				t.Errorf("%s:%s: immutable %v", one.repository, one.tag, one.immutable)
			}
			got = append(got, one.repository+":"+one.tag)
		}
		if want := strings.Fields(c.want); !slices.Equal(got, want) {
			t.Errorf("%s %s %s %s:\n got %v\nwant %v", c.image, c.distro, c.version, c.tag, got, want)
		}
	}
}
