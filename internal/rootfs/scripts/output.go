package scripts

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// redirects checks what a statement's redirections write, and remembers a
// here-document for read.
func (w *walker) redirects(st *syntax.Stmt) {
	for _, r := range st.Redirs {
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			v := w.hereDoc(r)
			w.stdin, w.fed = strings.Split(strings.TrimSuffix(v.s, "\n"), "\n"), v.known
		case syntax.WordHdoc, syntax.RdrIn, syntax.DplIn:
			w.one(r.Word)
			w.stdin, w.fed = nil, false
		case syntax.DplOut:
			if v := w.one(r.Word); !v.known || strings.Trim(v.s, "0123456789-") != "" {
				w.problem(st, "output to %s", source(r.Word))
			}
		default:
			w.writes(st, r)
		}
	}
}

// writes judges output to a file: it is a "write" or "append" effect where the
// text is known.
func (w *walker) writes(st *syntax.Stmt, r *syntax.Redirect) {
	v := w.one(r.Word)
	if v.known && volatile(v.s) {
		return
	}
	text, ok := w.printed(st)
	if v.known && !ok && strings.HasPrefix(path.Clean(v.s), "/var/log/") {
		return // what a command said; an image has no logs
	}
	kind := map[syntax.RedirOperator]string{syntax.RdrOut: "write", syntax.RdrClob: "write", syntax.AppOut: "append"}[r.Op]
	if !v.known || !ok || !path.IsAbs(v.s) || kind == "" || r.N != nil && r.N.Value != "1" {
		w.problem(st, "writes to %s", source(r.Word))
		return
	}
	name := path.Clean(v.s)
	if text == "" && slices.ContainsFunc(w.s.conds, func(c cond) bool { return c.Path == name && !c.Want && (c.Op == "-e" || c.Op == "-f") }) {
		w.emitAt(st, "touch", name)
		return
	}
	w.emitAt(st, kind, name, text)
}

// printed is what a statement prints, where that is certain: the
// here-document of a cat, a plain echo, nothing.
func (w *walker) printed(st *syntax.Stmt) (string, bool) {
	if st.Cmd == nil {
		return "", true
	}
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	var args []string
	for _, word := range call.Args {
		for _, a := range w.fields(word) {
			if !a.known {
				return "", false
			}
			args = append(args, a.s)
		}
	}
	switch {
	case len(args) == 1 && (args[0] == ":" || args[0] == "true"):
		return "", true
	case len(args) == 1 && args[0] == "cat":
		for _, r := range st.Redirs {
			if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc {
				v := w.hereDoc(r)
				return v.s, v.known
			}
		}
	case len(args) > 1 && args[0] == "echo" && !strings.HasPrefix(args[1], "-") && !strings.Contains(strings.Join(args, ""), `\`):
		return strings.Join(args[1:], " ") + "\n", true
	case len(args) == 1 && args[0] == "echo":
		return "\n", true
	}
	return "", false
}

func (w *walker) hereDoc(r *syntax.Redirect) value {
	v := w.one(r.Hdoc)
	if r.Op == syntax.DashHdoc {
		v.s = strings.ReplaceAll("\n"+v.s, "\n\t", "\n")[1:]
	}
	return v
}
