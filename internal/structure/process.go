package structure

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// defaultPath is what Docker sets where an image says nothing.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process is how a test's commands are run: as the image says, with what the
// file and the test change.
func (r *run) process(s *Suite, t *CommandTest) (*process, error) {
	c, o := r.img.Config.Config, s.Options
	p := &process{dir: c.WorkingDir, capability: o.Capabilities, privileged: o.Privileged, timeout: r.opts.Timeout}
	if p.timeout == 0 {
		p.timeout = DefaultTimeout
	}
	if p.dir == "" {
		p.dir = "/"
	}
	who := c.User
	if o.User != "" {
		who = o.User
	}
	var err error
	if p.user, err = r.user(who); err != nil {
		return nil, err
	}
	env, err := r.variables(s, t)
	if err != nil {
		return nil, err
	}
	if _, ok := env["HOME"]; !ok {
		env["HOME"] = p.user.home
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		p.env = append(p.env, k+"="+env[k])
	}
	for _, m := range o.BindMounts {
		from, to, _ := strings.Cut(m, ":")
		if from, err = filepath.Abs(from); err != nil {
			return nil, err
		}
		p.mounts = append(p.mounts, [2]string{from, to})
	}
	return p, nil
}

// variables are the image's, then those that the file passes on, those that it
// sets, and the test's.
func (r *run) variables(s *Suite, t *CommandTest) (map[string]string, error) {
	env := maps.Clone(r.env)
	if _, ok := env["PATH"]; !ok {
		env["PATH"] = defaultPath
	}
	if s.Options.EnvFile != "" {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(s.File), s.Options.EnvFile))
		if err != nil {
			return nil, fmt.Errorf("containerRunOptions.envFile: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if k, v, ok := strings.Cut(line, "="); ok && line[0] != '#' {
				env[k] = v
			}
		}
	}
	for _, name := range s.Options.EnvVars {
		if r.opts.Environ == nil {
			break
		}
		if v, ok := r.opts.Environ(name); ok {
			env[name] = v
		}
	}
	for _, e := range slices.Concat(s.Env, t.EnvVars) {
		env[e.Key] = expand(e.Value, env)
	}
	return env, nil
}

// user finds who "name", "uid", "name:group" or "uid:gid" is in the image.
func (r *run) user(text string) (user, error) {
	name, group, grouped := strings.Cut(text, ":")
	u := user{home: "/"}
	if name == "" {
		name = "0"
	}
	found := false
	if n, err := strconv.Atoi(name); err == nil {
		u.uid, found = n, true
	}
	var login string
	for _, f := range r.table("/etc/passwd", 7) {
		if uid, err := strconv.Atoi(f[2]); err == nil && (f[0] == name || strconv.Itoa(uid) == name) {
			u.uid, u.home, login, found = uid, f[5], f[0], true
			u.gid, _ = strconv.Atoi(f[3])
			break
		}
	}
	if !found {
		return u, fmt.Errorf("user %s: not in the image's /etc/passwd: name one that is, or a number", name)
	}
	found = !grouped
	if n, err := strconv.Atoi(group); err == nil {
		u.gid, found = n, true
	}
	for _, f := range r.table("/etc/group", 4) {
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		if grouped && f[0] == group {
			u.gid, found = gid, true
		}
		if !grouped && login != "" && slices.Contains(strings.Split(f[3], ","), login) {
			u.groups = append(u.groups, gid)
		}
	}
	if !found {
		return u, fmt.Errorf("group %s: not in the image's /etc/group: name one that is, or a number", group)
	}
	return u, nil
}

// table splits the lines of passwd(5) or group(5).
func (r *run) table(p string, fields int) [][]string {
	text, err := r.text(p)
	if err != nil {
		return nil
	}
	var out [][]string
	for line := range bytes.Lines(text) {
		if f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":"); len(f) >= fields {
			out = append(out, f)
		}
	}
	return out
}
