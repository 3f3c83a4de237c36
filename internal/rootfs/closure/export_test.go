package closure

// Loaded lists what the model of ld.so loads for a program, as the oracle
// prints it: paths without links, and the names that it does not find.
func Loaded(t Tree, o Options, n Node) map[string]string {
	c := &checker{tree: t, opts: o, known: map[string]resolved{}}
	p := c.newProcess(n)
	p.load()
	out := map[string]string{}
	for _, o := range p.objects[1:] {
		out[o.node.Path] = "loaded"
	}
	for _, m := range p.missing {
		out[m.name] = "not found"
	}
	return out
}
