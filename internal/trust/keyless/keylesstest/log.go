package keylesstest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/go-openapi/runtime"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	tilesnote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"

	// The kinds of entries that the log takes.
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
)

// Every entry is the only one of a tree of its own: what verifies a proof
// offline cannot tell.

// leafHash is that of RFC 6962.
func leafHash(body []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, body...))
	return sum[:]
}

func (s *Services) next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	return s.index
}

// enter is Rekor, version 1.
func (s *Services) enter(h http.Header, _ *http.Request, data []byte) (int, []byte) {
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(data), runtime.JSONConsumer())
	if err != nil {
		return refused("%v", err)
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return refused("%v", err)
	}
	body, err := types.CanonicalizeEntry(context.Background(), entry)
	if err != nil {
		return refused("%v", err)
	}
	index, now, id := s.next(), s.Now().Unix(), hex.EncodeToString(logID(&s.rekor.PublicKey))
	signer, err := signature.LoadECDSASignerVerifier(s.rekor, crypto.SHA256)
	if err != nil {
		return refused("%v", err)
	}
	// Keys in order and no spaces are what the canonical form is, for these.
	promised, err := json.Marshal(map[string]any{"body": base64.StdEncoding.EncodeToString(body), "integratedTime": now, "logID": id, "logIndex": index})
	if err != nil {
		return refused("%v", err)
	}
	sum := sha256.Sum256(promised)
	promise, err := s.rekor.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return refused("%v", err)
	}
	hash := leafHash(body)
	checkpoint, err := util.CreateAndSignCheckpoint(context.Background(), "127.0.0.1", 1, 1, hash, signer)
	if err != nil {
		return refused("%v", err)
	}
	answer, err := json.Marshal(map[string]any{hex.EncodeToString(hash): map[string]any{
		"body": body, "integratedTime": now, "logID": id, "logIndex": index,
		"verification": map[string]any{
			"signedEntryTimestamp": promise,
			"inclusionProof":       map[string]any{"checkpoint": string(checkpoint), "hashes": []string{}, "logIndex": 0, "rootHash": hex.EncodeToString(hash), "treeSize": 1},
		},
	}})
	if err != nil {
		return refused("%v", err)
	}
	h.Set("ETag", hex.EncodeToString(hash))
	return http.StatusCreated, answer
}

// enter2 is Rekor, version 2.
func (s *Services) enter2(_ http.Header, _ *http.Request, data []byte) (int, []byte) {
	var request rekorpb.CreateEntryRequest
	if err := protojson.Unmarshal(data, &request); err != nil {
		return refused("%v", err)
	}
	asked := request.GetHashedRekordRequestV002()
	if asked == nil {
		return refused("not a hashedrekord")
	}
	text, err := protojson.Marshal(&rekorpb.Entry{ApiVersion: "0.0.2", Kind: "hashedrekord", Spec: &rekorpb.Spec{Spec: &rekorpb.Spec_HashedRekordV002{
		HashedRekordV002: &rekorpb.HashedRekordLogEntryV002{
			Data: &commonv1.HashOutput{Algorithm: commonv1.HashAlgorithm_SHA2_256, Digest: asked.GetDigest()}, Signature: asked.GetSignature(),
		},
	}}})
	if err != nil {
		return refused("%v", err)
	}
	var sorted any
	if err := json.Unmarshal(text, &sorted); err != nil {
		return refused("%v", err)
	}
	body, err := json.Marshal(sorted)
	if err != nil {
		return refused("%v", err)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		return refused("%v", err)
	}
	checkpoint, err := s.checkpoint(at.Hostname(), leafHash(body))
	if err != nil {
		return refused("%v", err)
	}
	answer, err := protojson.Marshal(&rekorv1.TransparencyLogEntry{
		LogId: &commonv1.LogId{KeyId: logID(&s.rekor.PublicKey)}, KindVersion: &rekorv1.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		InclusionProof:    &rekorv1.InclusionProof{TreeSize: 1, RootHash: leafHash(body), Checkpoint: &rekorv1.Checkpoint{Envelope: checkpoint}},
		CanonicalizedBody: body,
	})
	if err != nil {
		return refused("%v", err)
	}
	return http.StatusCreated, answer
}

// checkpoint is a signed note that says what a tree holds.
func (s *Services) checkpoint(origin string, hash []byte) (string, error) {
	signer, err := signature.LoadECDSASignerVerifier(s.rekor, crypto.SHA256)
	if err != nil {
		return "", err
	}
	by, err := tilesnote.NewNoteSigner(context.Background(), origin, signer)
	if err != nil {
		return "", err
	}
	signed, err := note.Sign(&note.Note{Text: origin + "\n1\n" + base64.StdEncoding.EncodeToString(hash) + "\n"}, by)
	return string(signed), err
}
