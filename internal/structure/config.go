package structure

import (
	"os"
	"strings"
)

// The parts of the OCI runtime specification's config.json that are used here.
type (
	runtimeConfig struct {
		Version  string         `json:"ociVersion"`
		Process  runtimeProcess `json:"process"`
		Root     runtimeRoot    `json:"root"`
		Hostname string         `json:"hostname"`
		Mounts   []runtimeMount `json:"mounts"`
		Linux    runtimeLinux   `json:"linux"`
	}
	runtimeProcess struct {
		User         runtimeUser         `json:"user"`
		Args         []string            `json:"args"`
		Env          []string            `json:"env"`
		Cwd          string              `json:"cwd"`
		Capabilities map[string][]string `json:"capabilities"`
	}
	runtimeUser struct {
		UID    int   `json:"uid"`
		GID    int   `json:"gid"`
		Groups []int `json:"additionalGids,omitempty"`
	}
	runtimeRoot struct {
		Path string `json:"path"`
	}
	runtimeMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options,omitempty"`
	}
	runtimeLinux struct {
		Namespaces    []runtimeNamespace `json:"namespaces"`
		UIDMappings   []runtimeMapping   `json:"uidMappings,omitempty"`
		GIDMappings   []runtimeMapping   `json:"gidMappings,omitempty"`
		MaskedPaths   []string           `json:"maskedPaths,omitempty"`
		ReadonlyPaths []string           `json:"readonlyPaths,omitempty"`
	}
	runtimeNamespace struct {
		Type string `json:"type"`
	}
	runtimeMapping struct {
		ContainerID int `json:"containerID"`
		HostID      int `json:"hostID"`
		Size        int `json:"size"`
	}
)

// config is what a container of Docker's defaults has, but without a network:
// loopback alone.
func (b *bundleBox) config(p process) runtimeConfig {
	c := runtimeConfig{
		Version: "1.0.2", Root: runtimeRoot{"rootfs"}, Hostname: "test",
		Process: runtimeProcess{
			User: runtimeUser{p.user.uid, p.user.gid, p.user.groups}, Args: p.args, Env: p.env, Cwd: p.dir,
			Capabilities: capabilities(p),
		},
		Mounts: []runtimeMount{
			{"/proc", "proc", "proc", nil},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{"/dev/pts", "devpts", "devpts", []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{"/dev/shm", "tmpfs", "shm", []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{"/dev/mqueue", "mqueue", "mqueue", []string{"nosuid", "noexec", "nodev"}},
		},
		Linux: runtimeLinux{
			Namespaces:    []runtimeNamespace{{"pid"}, {"network"}, {"ipc"}, {"uts"}, {"mount"}},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if p.privileged {
		c.Linux.MaskedPaths, c.Linux.ReadonlyPaths = nil, nil
	}
	if b.root {
		c.Mounts = append(c.Mounts, runtimeMount{"/sys", "sysfs", "sysfs", []string{"nosuid", "noexec", "nodev", "ro"}})
	} else {
		// A user who is not root is root in there, and nobody else.
		c.Mounts = append(c.Mounts, runtimeMount{"/sys", "none", "/sys", []string{"rbind", "nosuid", "noexec", "nodev", "ro"}})
		c.Linux.Namespaces = append(c.Linux.Namespaces, runtimeNamespace{"user"})
		c.Linux.UIDMappings = []runtimeMapping{{0, os.Getuid(), 1}}
		c.Linux.GIDMappings = []runtimeMapping{{0, os.Getgid(), 1}}
		c.Process.User.Groups = nil
	}
	for _, m := range p.mounts {
		c.Mounts = append(c.Mounts, runtimeMount{m[1], "bind", m[0], []string{"rbind", "rprivate"}})
	}
	return c
}

// capabilities are Docker's for root; another user has none in effect, but may
// get them from set-id programs.
func capabilities(p process) map[string][]string {
	names := []string{
		"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
		"SYS_CHROOT", "KILL", "AUDIT_WRITE",
	}
	if p.privileged {
		names = append(names, "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_TIME", "SYS_RESOURCE", "DAC_READ_SEARCH", "SYS_NICE")
	}
	var all []string
	for _, n := range append(names, p.capability...) {
		all = append(all, "CAP_"+strings.TrimPrefix(strings.ToUpper(n), "CAP_"))
	}
	sets := map[string][]string{"bounding": all}
	if p.user.uid == 0 {
		sets["effective"], sets["permitted"] = all, all
	}
	return sets
}
