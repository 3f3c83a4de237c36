package image_test

import (
	"strconv"
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
)

const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func settings() image.Settings {
	return image.Settings{
		Platform: image.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, Created: 1_700_000_000,
		Env: map[string]string{"B": "<&>", "PATH": "/bin", "A": "1"}, Entrypoint: []string{"/app"}, Cmd: []string{"-v"},
		User: "65532", Workdir: "/home/nonroot", Labels: map[string]string{"l": "v"}, Annotations: map[string]string{"b": "2", "a": "1"},
	}
}

// The documents as registries and runtimes read them. Bytes that change here
// change every digest of every image.
func TestDocuments(t *testing.T) {
	l := image.Layer{Blob: layer.Blob{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digest, Size: 123, DiffID: digest}, CreatedBy: "distroless static", Created: 1_600_000_000}
	m, err := image.Build(settings(), []image.Layer{l})
	if err != nil {
		t.Fatal(err)
	}
	const config = `{"architecture":"arm64","created":"2023-11-14T22:13:20Z","history":[{"created":"2020-09-13T12:26:40Z","created_by":"distroless static"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["` + digest + `"]},"config":{"Cmd":["-v"],"Entrypoint":["/app"],"Env":["PATH=/bin","A=1","B=<&>"],"Labels":{"l":"v"},"User":"65532","WorkingDir":"/home/nonroot"},"variant":"v8"}`
	if got := string(m.Config.Bytes); got != config {
		t.Errorf("config\n%s\nwant\n%s", got, config)
	}
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":` + strconv.Itoa(len(config)) + `,"digest":"` + m.Config.Digest + `"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":123,"digest":"` + digest + `"}],"annotations":{"a":"1","b":"2"}}`
	if got := string(m.Manifest.Bytes); got != manifest {
		t.Errorf("manifest\n%s\nwant\n%s", got, manifest)
	}
	if m.Size() != 123 {
		t.Errorf("size %d", m.Size())
	}
	idx, err := image.Index([]*image.Image{m}, map[string]string{"t": "x"})
	if err != nil {
		t.Fatal(err)
	}
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":` + strconv.Itoa(len(manifest)) + `,"digest":"` + m.Manifest.Digest + `","platform":{"architecture":"arm64","os":"linux","variant":"v8"}}],"annotations":{"t":"x"}}`
	if got := string(idx.Bytes); got != index {
		t.Errorf("index\n%s\nwant\n%s", got, index)
	}
}

// An image without a layer is odd but must be one: null where the
// specification wants a list makes runtimes fail.
func TestNoLayers(t *testing.T) {
	m, err := image.Build(image.Settings{Platform: image.Platform{OS: "linux", Architecture: "amd64"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []image.Blob{m.Config, m.Manifest} {
		if strings.Contains(string(b.Bytes), "null") {
			t.Errorf("%s", b.Bytes)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, l := range []layer.Blob{{Digest: "sha256:1", DiffID: digest}, {Digest: digest, DiffID: "none"}} {
		if _, err := image.Build(settings(), []image.Layer{{Blob: l}}); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}
