package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"distroless/internal/trust/sign"
)

func newKeys(s *surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make keys to sign images with",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("name what to do: see \"%s --help\"", cmd.CommandPath())
		},
	}
	var prefix string
	generate := &cobra.Command{
		Use:   "generate",
		Short: "Make a key pair, in cosign's format",
		Long: `Make a key pair to sign images with: <prefix>.key, encrypted under a password, and
<prefix>.pub, for everybody. Both are in cosign's format. The password is
DISTROLESS_PASSWORD or COSIGN_PASSWORD, else it is asked for; an empty one encrypts
nothing worth the name. Files that are there are never overwritten.`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error { return generateKeys(s, prefix) },
	}
	generate.Flags().StringVar(&prefix, "output", "distroless", "`prefix` of the two files")
	cmd.AddCommand(generate)
	return cmd
}

func generateKeys(s *surroundings, prefix string) error {
	for _, suffix := range []string{".key", ".pub"} {
		if _, err := os.Lstat(prefix + suffix); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("generate keys: %s is there: move it away, or name another --output", prefix+suffix)
		}
	}
	secret, err := password(s, true)
	if err != nil {
		return err
	}
	private, public, err := sign.Generate(secret)
	if err != nil {
		return err
	}
	if err := writeNew(prefix+".key", private, 0o600); err != nil {
		return err
	}
	if err := writeNew(prefix+".pub", public, 0o644); err != nil {
		return errors.Join(err, os.Remove(prefix+".key"))
	}
	fmt.Fprintf(s.stdout, "%s.key  keep it secret\n%s.pub  give it to those who verify\n", prefix, prefix)
	return nil
}

// writeNew writes a file that is not there yet.
func writeNew(file string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("generate keys: %w", err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// password is that of a private key: from the environment, else from the
// terminal, asked for twice where a key is made.
func password(s *surroundings, twice bool) ([]byte, error) {
	for _, name := range []string{"DISTROLESS_PASSWORD", "COSIGN_PASSWORD"} {
		if v, ok := s.environ(name); ok {
			return []byte(v), nil
		}
	}
	if !s.terminal || !isTerminal(os.Stdin) {
		return nil, usagef("no password for the key: set DISTROLESS_PASSWORD (it may be empty), or run at a terminal")
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(s.stderr, prompt)
		defer fmt.Fprintln(s.stderr)
		return term.ReadPassword(int(os.Stdin.Fd()))
	}
	first, err := ask("password for the private key: ")
	if err != nil || !twice {
		return first, err
	}
	second, err := ask("again: ")
	if err == nil && string(first) != string(second) {
		err = errors.New("the passwords differ")
	}
	return first, err
}

// keyText reads a key from a file, or with env://NAME from the environment.
func keyText(s *surroundings, ref string) ([]byte, error) {
	if name, ok := strings.CutPrefix(ref, "env://"); ok {
		v, ok := s.environ(name)
		if !ok || v == "" {
			return nil, usagef("key %s: the variable is not set", ref)
		}
		return []byte(v), nil
	}
	if scheme, _, ok := strings.Cut(ref, "://"); ok {
		return nil, usagef("key %s: %s:// is not known: expected a file, or env://NAME", ref, scheme)
	}
	return readSmall(ref, "key")
}

// signingKey reads a private key.
func signingKey(s *surroundings, ref string) (*sign.Key, error) {
	data, err := keyText(s, ref)
	if err != nil {
		return nil, err
	}
	k, err := sign.ParsePrivate(data, func() ([]byte, error) { return password(s, false) })
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	return k, nil
}

// publicKey reads a public key.
func publicKey(s *surroundings, ref string) (*sign.Public, error) {
	data, err := keyText(s, ref)
	if err != nil {
		return nil, err
	}
	k, err := sign.ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	return k, nil
}
