package structure

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// environment splits "KEY=value" lines.
func environment(list []string) map[string]string {
	m := map[string]string{}
	for _, e := range list {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	return m
}

var variableRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$(\w+|\{\w+\})`) })

// expand replaces $NAME and ${NAME} by variables that are set; others stay, for
// a shell or awk to see.
func expand(text string, env map[string]string) string {
	return variableRE().ReplaceAllStringFunc(text, func(m string) string {
		if v, ok := env[strings.Trim(m, "${}")]; ok {
			return v
		}
		return m
	})
}

func (r *run) metadata(t *MetadataTest, res *Result) {
	c := r.img.Config.Config
	compare(res, "variable", r.env, slices.Concat(t.EnvVars, t.Env))
	for _, e := range slices.Concat(t.UnboundEnvVars, t.UnboundEnv) {
		if v, ok := r.env[e.Key]; ok {
			res.failf("variable %s is %q, expected it not to be set", e.Key, v)
		}
	}
	compare(res, "label", c.Labels, t.Labels)
	for _, p := range t.ExposedPorts {
		if !hasPort(c.ExposedPorts, p) {
			res.failf("port %s is not exposed: %s", p, names(c.ExposedPorts))
		}
	}
	for _, p := range slices.Concat(t.UnexposedPorts, t.UnboundPorts) {
		if hasPort(c.ExposedPorts, p) {
			res.failf("port %s is exposed, expected it not to be", p)
		}
	}
	for _, v := range t.Volumes {
		if _, ok := c.Volumes[v]; !ok {
			res.failf("%s is no volume: %s", v, names(c.Volumes))
		}
	}
	for _, v := range t.UnmountedVolumes {
		if _, ok := c.Volumes[v]; ok {
			res.failf("%s is a volume, expected it not to be", v)
		}
	}
	if t.Entrypoint != nil && !slices.Equal(*t.Entrypoint, c.Entrypoint) {
		res.failf("the entrypoint is %q, expected %q", c.Entrypoint, *t.Entrypoint)
	}
	if t.Cmd != nil && !slices.Equal(*t.Cmd, c.Cmd) {
		res.failf("the command is %q, expected %q", c.Cmd, *t.Cmd)
	}
	if t.Workdir != "" && t.Workdir != c.WorkingDir {
		res.failf("the working directory is %q, expected %q", c.WorkingDir, t.Workdir)
	}
	if t.User != "" && t.User != c.User {
		res.failf("the user is %q, expected %q", c.User, t.User)
	}
}

// compare holds variables or labels against what is expected of them.
func compare(res *Result, what string, have map[string]string, want []EnvVar) {
	for _, e := range want {
		v, ok := have[e.Key]
		switch {
		case !ok:
			res.failf("%s %s is not set", what, e.Key)
		case e.IsRegex && !matches(e.Value, v):
			res.failf("%s %s is %q, which does not match %q", what, e.Key, v, e.Value)
		case !e.IsRegex && v != e.Value:
			res.failf("%s %s is %q, expected %q", what, e.Key, v, e.Value)
		}
	}
}

// hasPort looks for "8080/tcp", or "8080" of any protocol.
func hasPort(ports map[string]struct{}, want string) bool {
	for p := range ports {
		number, protocol, _ := strings.Cut(p, "/")
		if protocol == "" {
			protocol = "tcp"
		}
		if want == number || want == number+"/"+protocol {
			return true
		}
	}
	return false
}

func names(m map[string]struct{}) string {
	if len(m) == 0 {
		return "there are none"
	}
	return "there are " + strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
