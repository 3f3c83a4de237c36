package scripts

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

const (
	maxSteps = 50_000 // commands evaluated for one script
	maxDepth = 30     // functions and substitutions within each other
	maxTurns = 300    // of one loop
	maxText  = 1 << 20

	maxProblems = 100
	maxEffects  = 2000
)

// walker evaluates one script along every path that a first installation may
// take.
type walker struct {
	script Script
	s      *state
	funcs  map[string]*syntax.Stmt
	taints int // how often an expansion met something unknown
	globs  int // how often an expansion met a pattern of paths
	steps  int
	depth  int
	last   outcome
	stdin  []string // known lines of a here-document, for read
	fed    bool     // whether stdin is known at all
	// returns collects how the function being evaluated came back.
	returns []returned
	called  int // how many conditions held when it was called
}

type returned struct {
	o     outcome
	conds []cond
}

// evaluate walks a script called with the given parameters and returns its
// effects, or what in it was not understood.
func evaluate(s Script, params ...string) ([]Effect, []Problem) {
	text := s.Text
	if len(text) > maxText {
		return nil, []Problem{{1, fmt.Sprintf("a script of %d bytes: at most %d are analysed", len(text), maxText)}}
	}
	if line, _, _ := bytes.Cut(text, []byte("\n")); !shebang().Match(line) {
		return nil, []Problem{{1, fmt.Sprintf("%q: not a shell script", clip(string(line)))}}
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(bytes.ToValidUTF8(text, []byte("\uFFFD"))), "")
	if err != nil {
		return nil, []Problem{{1, "parse: " + clip(err.Error())}}
	}
	w := &walker{script: s, s: &state{vars: map[string]value{umask: known("022")}}, funcs: map[string]*syntax.Stmt{}}
	for _, p := range params {
		w.s.params = append(w.s.params, value{known: p != unknownParam, s: p})
	}
	w.stmts(file.Stmts)
	if len(w.s.problems) > 0 {
		return nil, uniqueProblems(w.s.problems)
	}
	return unique(w.s.effects), nil
}

var shebang = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^#! */(?:usr/)?bin/(?:env )?(?:sh|dash|bash)(?: +-[a-z]+)*\s*$`)
})

// problem notes that a command is not understood.
func (w *walker) problem(n syntax.Node, format string, args ...any) {
	if len(w.s.problems) >= maxProblems {
		return // the script is not understood either way
	}
	w.s.problems = append(w.s.problems, Problem{int(n.Pos().Line()), clip(fmt.Sprintf(format, args...))})
}

// clip cuts a text to what a message can bear.
func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}

func (w *walker) stmts(list []*syntax.Stmt) (outcome, flow) {
	o := success
	for _, st := range list {
		var f flow
		if o, f = w.stmt(st); f != next {
			return o, f
		}
	}
	return o, next
}

func (w *walker) stmt(st *syntax.Stmt) (outcome, flow) {
	if w.steps++; w.steps > maxSteps {
		if w.steps == maxSteps+1 {
			w.problem(st, "more than %d commands to evaluate", maxSteps)
		}
		return maybe(), exit
	}
	lines, fed := w.stdin, w.fed
	w.redirects(st)
	o, f := w.command(st)
	if len(st.Redirs) > 0 {
		w.stdin, w.fed = lines, fed
	}
	if st.Negated {
		o = o.negate()
	}
	w.last = o
	return o, f
}

func (w *walker) command(st *syntax.Stmt) (outcome, flow) {
	switch c := st.Cmd.(type) {
	case nil:
		return success, next
	case *syntax.CallExpr:
		return w.call(c)
	case *syntax.Block:
		return w.stmts(c.Stmts)
	case *syntax.IfClause:
		return w.ifClause(c)
	case *syntax.CaseClause:
		return w.caseClause(c)
	case *syntax.BinaryCmd:
		return w.binary(c)
	case *syntax.Subshell:
		return w.subshell(c.Stmts)
	case *syntax.FuncDecl:
		if c.Name == nil || c.Body == nil {
			w.problem(c, "function without a name")
			return maybe(), next
		}
		if old := w.funcs[c.Name.Value]; old != nil && old != c.Body && len(w.s.conds) > 0 {
			w.problem(c, "function %s is defined twice, under a condition", c.Name.Value)
		}
		w.funcs[c.Name.Value] = c.Body
		return success, next
	case *syntax.ForClause:
		return w.forClause(c)
	case *syntax.WhileClause:
		return w.whileClause(c)
	case *syntax.DeclClause:
		for _, a := range c.Args {
			w.assign(a)
		}
		return success, next
	case *syntax.TestClause:
		// [[ ]] is rare in maintainer scripts; both ways are followed.
		syntax.Walk(c.X, func(n syntax.Node) bool {
			if word, ok := n.(*syntax.Word); ok {
				w.fields(word)
				return false
			}
			return true
		})
		return maybe(), next
	}
	w.problem(st, "shell construct %T", st.Cmd)
	return maybe(), next
}

// branch follows then, else, or both, as o says.
func (w *walker) branch(o outcome, then, otherwise func() (outcome, flow)) (outcome, flow) {
	if o.known {
		if o.ok {
			return then()
		}
		return otherwise()
	}
	base := w.s
	nc, ne, np := len(base.conds), len(base.effects), len(base.problems)
	run := func(when []cond, f func() (outcome, flow)) (s *state, o outcome, fl flow, own int) {
		w.s = base.clone()
		w.s.assume(when)
		own = len(w.s.conds) - nc
		o, fl = f()
		return w.s, o, fl, own
	}
	a, oa, fa, na := run(o.when, then)
	b, ob, fb, nb := run(o.whenFail, otherwise)
	extra := func(s *state, own int) []cond {
		var left []cond
		for _, c := range s.conds[nc+own:] {
			if c = (cond{until: c.until}); !slices.Contains(left, c) {
				left = append(left, c)
			}
		}
		return left
	}
	ea, eb := extra(a, na), extra(b, nb)
	switch {
	case fa == dead || fb == dead:
		// The package installs, so the path that fails is not taken.
		w.s = a
		o, f, left := oa, fa, a.conds[nc+na:]
		if fa == dead {
			w.s, o, f, left = b, ob, fb, b.conds[nc+nb:]
		}
		w.s.conds = append(w.s.conds[:nc:nc], left...)
		return o, f
	case fa == fb:
		a.join(b, ne, np)
		a.conds = append(append(a.conds[:nc:nc], ea...), eb...)
		w.s = a
		return merge(o, oa, ob), fa
	case fa == next || fb != next && fa < fb:
		return oa, w.goOn(a, b, fb, nc, ne, np, na, ea, eb, fa)
	}
	return ob, w.goOn(b, a, fa, nc, ne, np, nb, eb, ea, fb)
}

// goOn continues with live after gone has left by flow left: what holds on
// live's path holds until the construct that gone left ends.
func (w *walker) goOn(live, gone *state, left flow, nc, ne, np, own int, extra, more []cond, f flow) flow {
	for i := nc; i < nc+own; i++ {
		live.conds[i].until = left
	}
	live.conds = append(append(live.conds[:nc+own:nc+own], extra...), more...)
	live.effects = append(append(live.effects[:ne:ne], gone.effects[ne:]...), live.effects[ne:]...)
	live.problems = append(live.problems, gone.problems[np:]...)
	w.s = live
	return f
}

// merge is the exit status after a branch on o whose sides ended in a and b.
func merge(o, a, b outcome) outcome {
	switch {
	case a.known && b.known && a.ok == b.ok:
		return a
	case a.known && a.ok && b.known:
		return o
	case a.known && b.known:
		return o.negate()
	case b.known && !b.ok: // o && a
		return outcome{when: append(append([]cond{}, o.when...), a.when...), whenFail: opaque()}
	case a.known && a.ok: // o || b
		return outcome{when: opaque(), whenFail: append(append([]cond{}, o.whenFail...), b.whenFail...)}
	}
	return maybe()
}

func (w *walker) binary(c *syntax.BinaryCmd) (outcome, flow) {
	right := func() (outcome, flow) { return w.stmt(c.Y) }
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		o, f := w.stmt(c.X)
		if f != next {
			return o, f
		}
		if c.Op == syntax.AndStmt {
			return w.branch(o, right, func() (outcome, flow) { return failure, next })
		}
		return w.branch(o, func() (outcome, flow) { return success, next }, right)
	}
	// A pipe: what the left side writes is not followed.
	w.subshell([]*syntax.Stmt{c.X})
	lines, fed := w.stdin, w.fed
	w.stdin, w.fed = nil, false
	w.subshell([]*syntax.Stmt{c.Y})
	w.stdin, w.fed = lines, fed
	return maybe(), next
}

// subshell evaluates list in a copy of the variables.
func (w *walker) subshell(list []*syntax.Stmt) (outcome, flow) {
	vars, params, anything, base := maps.Clone(w.s.vars), w.s.params, w.s.anything, len(w.s.conds)
	o, f := w.stmts(list)
	w.s.vars, w.s.params, w.s.anything = vars, params, anything
	w.s.lift(base, exit)
	switch f {
	case dead:
		return failure, next
	case next:
		return o, next
	}
	return maybe(), next
}

func (w *walker) ifClause(c *syntax.IfClause) (outcome, flow) {
	if len(c.Cond) == 0 { // else
		return w.stmts(c.Then)
	}
	o, f := w.stmts(c.Cond)
	if f != next {
		return o, f
	}
	return w.branch(o,
		func() (outcome, flow) { return w.stmts(c.Then) },
		func() (outcome, flow) {
			if c.Else == nil {
				return success, next
			}
			return w.ifClause(c.Else)
		})
}

func (w *walker) caseClause(c *syntax.CaseClause) (outcome, flow) {
	return w.caseItems(w.one(c.Word), c.Items)
}

func (w *walker) caseItems(v value, items []*syntax.CaseItem) (outcome, flow) {
	if len(items) == 0 {
		return success, next
	}
	it := items[0]
	o := failure
	for _, p := range it.Patterns {
		if m := w.matches(v, p); m.known && m.ok || !m.known && o.known {
			if o = m; m.known {
				break
			}
		}
	}
	if it.Op != syntax.Break {
		w.problem(it, "case item that falls through")
	}
	return w.branch(o,
		func() (outcome, flow) { return w.stmts(it.Stmts) },
		func() (outcome, flow) { return w.caseItems(v, items[1:]) })
}

func (w *walker) matches(v value, word *syntax.Word) outcome {
	text, ok := w.pattern(word)
	if ok && strings.Trim(text, "*") == "" && text != "" {
		return success
	}
	if !ok || !v.known {
		return maybe()
	}
	expr, err := pattern.Regexp(text, pattern.EntireString)
	if err != nil {
		return maybe()
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return maybe()
	}
	return status(re.MatchString(v.s))
}
