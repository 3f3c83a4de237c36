package registry

import (
	"strings"
	"testing"
)

// TestSignatureTags: the signatures of an image that stand under tags of the
// layout go before the image's own tags. If it fails, there is a moment in which
// an image is published and not signed.
func TestSignatureTags(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{
		"sha256-" + hex + ".sig": true, "sha256-" + hex + ".att": true,
		"latest": false, "sha256-" + hex: false, "sha256-" + hex + ".sig2": false, "sha256-0a.sig": false,
	} {
		if got := tagRank(Tag{Name: tag, attachment: signatureTag().MatchString(tag)}) == 0; got != want {
			t.Errorf("%s before the images' tags: %v, want %v", tag, got, want)
		}
	}
}
