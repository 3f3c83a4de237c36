package version

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// sample draws a version, mostly valid, from few characters, so that two of
// them share long beginnings.
func sample(rng *rand.Rand) string {
	const chars = "00112979abZ.+~-:"
	b := []byte{"0129"[rng.IntN(4)]}
	for range rng.IntN(9) {
		b = append(b, chars[rng.IntN(len(chars))])
	}
	if rng.IntN(3) == 0 {
		b = append(b, "-1"...)
	}
	if rng.IntN(5) == 0 {
		b = append([]byte{"012"[rng.IntN(3)], ':'}, b...)
	}
	return string(b)
}

// near changes a version a little.
func near(rng *rand.Rand, v string) string {
	const chars = "0019a.+~-"
	i := rng.IntN(len(v)) + 1
	switch rng.IntN(3) {
	case 0:
		return v[:i] + string(chars[rng.IntN(len(chars))]) + v[i:]
	case 1:
		return v[:i] + v[min(i+1, len(v)):]
	}
	return v[:i]
}

// shell runs a script that dpkg is called from, once a line.
func shell(t *testing.T, script, input string) []string {
	t.Helper()
	testenv.Tool(t, "dpkg")
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func samples(t *testing.T) int {
	if testenv.Required() {
		return 4000
	}
	return 300
}

// A version order that is not dpkg's keeps a vulnerable package, or takes away
// a newer one, without a word.
func TestCompareAsDpkgDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var input strings.Builder
	for n := samples(t); n > 0; {
		a := sample(rng)
		b := near(rng, a)
		if rng.IntN(4) == 0 {
			b = sample(rng)
		}
		_, errA := Parse(a)
		_, errB := Parse(b)
		if errA != nil || errB != nil {
			continue
		}
		fmt.Fprintln(&input, a, map[int]string{-1: "lt", 0: "eq", 1: "gt"}[Compare(a, b)], b)
		n--
	}
	const script = `while read -r a op b; do dpkg --compare-versions "$a" "$op" "$b" || echo "$a..$op..$b"; done`
	for _, bad := range shell(t, script, input.String()) {
		t.Errorf("dpkg does not agree that %s", strings.ReplaceAll(bad, "..", " "))
	}
}

func TestParseAsDpkgDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var input strings.Builder
	for range samples(t) {
		v := sample(rng)
		if rng.IntN(3) == 0 {
			const odd = ":-_/a~%9"
			i := rng.IntN(len(v) + 1)
			v = v[:i] + string(odd[rng.IntN(len(odd))]) + v[i:]
		}
		op := "valid"
		if _, err := Parse(v); err != nil {
			op = "invalid"
		}
		fmt.Fprintln(&input, v, op)
	}
	const script = `while read -r v op; do if dpkg --validate-version "$v" 2>/dev/null; then is=valid; else is=invalid; fi; test $is = $op || echo "$v..$op"; done`
	for _, bad := range shell(t, script, input.String()) {
		t.Errorf("dpkg does not agree that %s", strings.ReplaceAll(bad, "..", " is "))
	}
}
