package scripts

import (
	"maps"
	"slices"
)

// value is what is known of a variable or argument.
type value struct {
	known bool
	s     string
	glob  bool // not known, but s is the pattern of the paths that it stands for
}

func known(s string) value { return value{known: true, s: s} }

// unknownParam marks a positional parameter whose value is not known; no
// real one can hold a NUL.
const unknownParam = "\x00"

// cond is a condition that could not be decided: a test of the tree, which
// the caller can make, or (Op empty) anything else.
type cond struct {
	Test
	until flow // the construct whose end lifts it: a condition stays when a branch left early
}

// opaque is a condition of which nothing is known.
func opaque() []cond { return []cond{{}} }

// outcome is the exit status of a command: known, or else what holds after
// success and after failure.
type outcome struct {
	known, ok      bool
	when, whenFail []cond
}

var (
	success = outcome{known: true, ok: true}
	failure = outcome{known: true}
)

func maybe() outcome { return outcome{when: opaque(), whenFail: opaque()} }

func status(ok bool) outcome { return outcome{known: true, ok: ok} }

func (o outcome) negate() outcome {
	if o.known {
		return status(!o.ok)
	}
	return outcome{when: o.whenFail, whenFail: o.when}
}

// flow is how control leaves a command.
type flow int

const (
	next    flow = iota
	skipped      // continue
	broken       // break
	ret
	exit
	dead // exit with a failure, which dpkg would not let pass: the path cannot be
)

// state is what a path through the script has done so far.
type state struct {
	vars     map[string]value
	params   []value
	anything bool // a sourced file may have set any variable
	conds    []cond
	effects  []Effect
	problems []Problem
}

func (s *state) clone() *state {
	c := *s
	c.vars = maps.Clone(s.vars)
	c.params = slices.Clone(s.params)
	c.conds = slices.Clone(s.conds)
	c.effects = slices.Clone(s.effects)
	c.problems = slices.Clone(s.problems)
	return &c
}

// join makes s what is known after either s or t, which began alike and whose
// first n effects and p problems are the same.
func (s *state) join(t *state, n, p int) {
	for name := range s.vars {
		if t.vars[name] != s.vars[name] {
			s.vars[name] = value{}
		}
	}
	for name, v := range t.vars {
		if _, ok := s.vars[name]; !ok {
			s.vars[name] = value{known: v.known && v.s == ""}
		}
	}
	if !slices.Equal(s.params, t.params) {
		s.params = []value{{}}
		s.anything = true
	}
	s.anything = s.anything || t.anything
	s.effects = append(s.effects, t.effects[n:]...)
	s.problems = append(s.problems, t.problems[p:]...)
}

// maxConds bounds the conditions that are kept apart; one that is not
// understood stands for more.
const maxConds = 64

// assume adds the conditions of a branch, those that hold already excepted.
func (s *state) assume(when []cond) {
	for _, c := range when {
		c.until = next
		if len(s.conds) >= maxConds {
			c.Test = Test{}
		}
		if !slices.ContainsFunc(s.conds, func(o cond) bool { return o.Test == c.Test && o.until == exit }) {
			s.conds = append(s.conds, c)
		}
	}
}

// lift drops the conditions above base that end with construct f.
func (s *state) lift(base int, f flow) {
	kept := s.conds[:base]
	for _, c := range s.conds[base:] {
		if c.until > f {
			kept = append(kept, c)
		}
	}
	s.conds = kept
}
