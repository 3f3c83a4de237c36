package spec

import "testing"

// An image that outgrows its budget must be noticed, so no slip in one may
// pass for "no budget".
func TestBudgetBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "19 MB": 19_000_000, "10.4 MB": 10_400_000, "420 kB": 420_000,
		"19": -1, "19MB": -1, "19 GB": -1, "-1 MB": -1, "0 MB": -1, "x MB": -1, "NaN MB": -1, "1e9 MB": -1,
	} {
		got, err := (&Section{Budget: text}).BudgetBytes()
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("budget %q: %d, %v, want %d", text, got, err, want)
		}
	}
	_, err := Parse("x.yaml", []byte("name: x\nbudget: 19 GB\ndistros: {debian13: {budget: 1 MB}}\n"))
	if err == nil {
		t.Error("a definition with a budget of 19 GB is taken")
	}
	d, err := Parse("x.yaml", []byte("name: x\nbudget: 19 MB\ndistros: {debian13: {budget: 1 MB}, debian12: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for distro, want := range map[string]string{"debian13": "1 MB", "debian12": "19 MB"} {
		if s, err := d.For(distro); err != nil || s.Budget != want {
			t.Errorf("%s: budget %q, %v, want %s", distro, s.Budget, err, want)
		}
	}
}
