package rootfs

import (
	"fmt"
	"strconv"
	"strings"
)

// User is a line of passwd(5).
type User struct {
	Name        string
	UID, GID    int
	Home, Shell string
}

// Group is a line of group(5).
type Group struct {
	Name    string
	GID     int
	Members []string
}

// noShell is the login shell of users that have none: it need not exist.
const noShell = "/sbin/nologin"

// addAccounts merges accounts into the tree's. The same name or number twice
// with different values is an error.
func (t *Tree) addAccounts(users []User, groups []Group) error {
	for _, u := range users {
		if u.Shell == "" {
			u.Shell = noShell
		}
		for _, old := range t.users {
			if old.Name == u.Name || old.UID == u.UID {
				return fmt.Errorf("accounts: user %s (%d): %s (%d) is there already: leave it out or choose another name and number", u.Name, u.UID, old.Name, old.UID)
			}
		}
		t.users = append(t.users, u)
	}
	for _, g := range groups {
		for _, old := range t.groups {
			if old.Name == g.Name || old.GID == g.GID {
				return fmt.Errorf("accounts: group %s (%d): %s (%d) is there already: leave it out or choose another name and number", g.Name, g.GID, old.Name, old.GID)
			}
		}
		t.groups = append(t.groups, g)
	}
	for _, u := range t.users {
		if !hasGroup(t.groups, u.GID) {
			return fmt.Errorf("accounts: user %s: no group %d: add it under accounts.groups", u.Name, u.GID)
		}
	}
	return nil
}

func hasGroup(groups []Group, gid int) bool {
	for _, g := range groups {
		if g.GID == gid {
			return true
		}
	}
	return false
}

// passwd is the text of /etc/passwd. The password field is "x": there is no
// shadow file, so nobody can log in by password.
func (t *Tree) passwd() []byte {
	var b strings.Builder
	for _, u := range t.users {
		b.WriteString(strings.Join([]string{u.Name, "x", strconv.Itoa(u.UID), strconv.Itoa(u.GID), u.Name, u.Home, u.Shell}, ":"))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// group is the text of /etc/group.
func (t *Tree) group() []byte {
	var b strings.Builder
	for _, g := range t.groups {
		b.WriteString(strings.Join([]string{g.Name, "x", strconv.Itoa(g.GID), strings.Join(g.Members, ",")}, ":"))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
