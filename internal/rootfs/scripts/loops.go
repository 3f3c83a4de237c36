package scripts

import "mvdan.cc/sh/v3/syntax"

func (w *walker) forClause(c *syntax.ForClause) (outcome, flow) {
	iter, ok := c.Loop.(*syntax.WordIter)
	if !ok || c.Select {
		w.problem(c, "arithmetic for or select")
		return maybe(), next
	}
	items, sure := append([]value{}, w.s.params...), true
	if iter.InPos.IsValid() {
		items = nil
		for _, word := range iter.Items {
			items = append(items, w.fields(word)...)
		}
	}
	for _, v := range items {
		sure = sure && v.known
	}
	if !sure || len(items) > maxTurns {
		return w.anyTurns(c.Do, func() (outcome, flow) {
			w.s.vars[iter.Name.Value] = value{}
			return maybe(), next
		})
	}
	base := len(w.s.conds)
	for _, v := range items {
		w.s.vars[iter.Name.Value] = v
		at := len(w.s.conds)
		o, f := w.stmts(c.Do)
		w.s.lift(at, skipped)
		if f == broken {
			break
		}
		if f > broken {
			return o, f
		}
	}
	w.s.lift(base, broken)
	return success, next
}

func (w *walker) whileClause(c *syntax.WhileClause) (outcome, flow) {
	base := len(w.s.conds)
	test := func() (outcome, flow) {
		o, f := w.stmts(c.Cond)
		if c.Until {
			o = o.negate()
		}
		return o, f
	}
	for range maxTurns {
		before := w.s.clone()
		o, f := test()
		if f != next {
			return o, f
		}
		if !o.known {
			w.s = before
			return w.anyTurns(c.Do, test)
		}
		if !o.ok {
			w.s.lift(base, broken)
			return success, next
		}
		at := len(w.s.conds)
		o, f = w.stmts(c.Do)
		w.s.lift(at, skipped)
		if f == broken {
			w.s.lift(base, broken)
			return success, next
		}
		if f > broken {
			return o, f
		}
	}
	w.problem(c, "loop of more than %d turns", maxTurns)
	return maybe(), next
}

// anyTurns stands for a loop of an unknown number of turns: the body once,
// under an unknown condition, with nothing known of the variables it sets.
func (w *walker) anyTurns(body []*syntax.Stmt, test func() (outcome, flow)) (outcome, flow) {
	base := len(w.s.conds)
	forget := func() {
		for _, st := range body {
			syntax.Walk(st, func(n syntax.Node) bool {
				switch n := n.(type) {
				case *syntax.Assign:
					if n.Name != nil {
						w.s.vars[n.Name.Value] = value{}
					}
				case *syntax.CallExpr:
					if len(n.Args) > 0 && w.funcs[n.Args[0].Lit()] != nil {
						w.s.anything = true // the function may set any variable
					}
				}
				return true
			})
		}
	}
	forget()
	w.fed = false
	if o, f := test(); f != next {
		return o, f
	}
	_, f := w.branch(maybe(),
		func() (outcome, flow) {
			o, f := w.stmts(body)
			if f == broken || f == skipped {
				f = next
			}
			return o, f
		},
		func() (outcome, flow) { return success, next })
	forget()
	w.s.lift(base, broken)
	return maybe(), f
}

// function evaluates a call of a function of the script.
func (w *walker) function(body *syntax.Stmt, args []value) (outcome, flow) {
	if w.depth++; w.depth > maxDepth {
		w.problem(body, "functions call each other more than %d deep", maxDepth)
		return maybe(), exit
	}
	defer func() { w.depth-- }()
	params, returns, called, base := w.s.params, w.returns, w.called, len(w.s.conds)
	w.s.params, w.returns, w.called = args, nil, base
	o, f := w.stmt(body)
	if f == next {
		w.returns = append(w.returns, returned{o, w.ownConds()})
	}
	o = combine(w.returns)
	w.s.params, w.returns, w.called = params, returns, called
	w.s.lift(base, ret)
	if f == ret || f == skipped || f == broken {
		f = next
	}
	return o, f
}

// combine is a function's exit status from all the ways it came back.
func combine(all []returned) outcome {
	var yes, no []returned
	for _, r := range all {
		switch {
		case !r.o.known:
			if len(all) == 1 {
				return r.o
			}
			return maybe()
		case r.o.ok:
			yes = append(yes, r)
		default:
			no = append(no, r)
		}
	}
	o := maybe()
	switch {
	case len(no) == 0:
		return success
	case len(yes) == 0:
		return failure
	}
	if len(yes) == 1 && len(yes[0].conds) > 0 {
		o.when = yes[0].conds
	}
	if len(no) == 1 && len(no[0].conds) > 0 {
		o.whenFail = no[0].conds
	}
	for _, list := range [][]cond{o.when, o.whenFail} {
		for i := range list {
			list[i].until = next
		}
	}
	return o
}
