package resolve

import "strings"

// nearest finds a package whose name a person may have meant, or "". Debian's
// renamings come first (libssl3 is libssl3t64 now), then slips of the hand.
func (p *Pool) nearest(name string) string {
	if _, ok := p.first[name+"t64"]; ok {
		return name + "t64"
	}
	best, least := "", min(2, (len(name)-1)/3)+1
	for candidate := range p.first {
		if d := len(candidate) - len(name); d > least || -d > least {
			continue
		}
		n := distance(name, candidate)
		if n < least || n == least && best != "" && strings.Compare(candidate, best) < 0 {
			best, least = candidate, n
		}
	}
	return best
}

// distance counts the bytes to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
