// Package signature signs what is known of store paths, and checks such
// signatures, as Nix does: Ed25519 over a fingerprint of the path, its hash, its
// size and its references. It does not know who is to be trusted.
package signature

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	gonix "github.com/nix-community/go-nix/pkg/narinfo/signature"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Fingerprint is the text that is signed:
//
//	1;STORE PATH;sha256:BASE 32;SIZE;STORE PATH,STORE PATH
//
// Deriver, times and content address are not in it.
func Fingerprint(dir storepath.Dir, i validity.Info) (string, error) {
	if i.NarHash.Algorithm() != nixhash.SHA256 || i.NarSize == 0 {
		return "", fmt.Errorf("fingerprint path '%s': its SHA-256 or its size is not known", dir.Join(i.Path))
	}
	refs := make([]string, len(i.References))
	for n, r := range i.References {
		refs[n] = dir.Join(r)
	}
	slices.Sort(refs)
	return strings.Join([]string{"1", dir.Join(i.Path), i.NarHash.String(), strconv.FormatUint(i.NarSize, 10),
		strings.Join(slices.Compact(refs), ",")}, ";"), nil
}

// PublicKeys are trusted; nil trusts nobody.
type PublicKeys []gonix.PublicKey

// ParsePublicKeys reads keys as trusted-public-keys has them, "NAME:BASE 64".
func ParsePublicKeys(texts []string) (PublicKeys, error) {
	var keys PublicKeys
	for _, text := range texts {
		k, err := gonix.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("parse key '%s': %w", text, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Valid counts those of a path's signatures that are right and by one of the
// keys. A signature that is given twice counts twice, as for Nix.
func (k PublicKeys) Valid(dir storepath.Dir, i validity.Info) int {
	if len(k) == 0 || len(i.Signatures) == 0 {
		return 0
	}
	text, err := Fingerprint(dir, i)
	if err != nil {
		return 0
	}
	return k.Signed(text, i.Signatures)
}

// SecretKeys sign.
type SecretKeys []gonix.SecretKey

// ReadSecretKeys reads the files that secret-key-files names, a key in each.
func ReadSecretKeys(files []string) (SecretKeys, error) {
	var keys SecretKeys
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read secret key: %w", err)
		}
		k, err := gonix.LoadSecretKey(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("read secret key '%s': %w", file, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Public are the public halves.
func (k SecretKeys) Public() PublicKeys {
	public := make(PublicKeys, len(k))
	for n, secret := range k {
		public[n] = secret.ToPublicKey()
	}
	return public
}

// Sign makes a signature with each key.
func (k SecretKeys) Sign(dir storepath.Dir, i validity.Info) ([]string, error) {
	if len(k) == 0 {
		return nil, nil
	}
	text, err := Fingerprint(dir, i)
	if err != nil {
		return nil, err
	}
	made, err := k.SignText(text)
	if err != nil {
		return nil, fmt.Errorf("sign path '%s': %w", dir.Join(i.Path), err)
	}
	return made, nil
}

// SignText makes a signature over a text with each key.
func (k SecretKeys) SignText(text string) ([]string, error) {
	var made []string
	for _, secret := range k {
		sig, err := secret.Sign(nil, text)
		if err != nil {
			return nil, err
		}
		made = append(made, sig.String())
	}
	return made, nil
}

// RealisationFingerprint is the text that is signed of a realisation: its JSON as
// Nix has it, without signatures.
func RealisationFingerprint(r validity.Realisation) string {
	return fmt.Sprintf(`{"dependentRealisations":{},"id":%q,"outPath":%q}`, r.ID.String(), r.Path.Base())
}

// SignRealisation makes a signature with each key.
func (k SecretKeys) SignRealisation(r validity.Realisation) ([]string, error) {
	made, err := k.SignText(RealisationFingerprint(r))
	if err != nil {
		return nil, fmt.Errorf("sign realisation '%v': %w", r.ID, err)
	}
	return made, nil
}

// ValidRealisation counts those of a realisation's signatures that are right and
// by one of the keys.
func (k PublicKeys) ValidRealisation(r validity.Realisation) (good int) {
	return k.Signed(RealisationFingerprint(r), r.Signatures)
}

// Signed counts the signatures that are right for a text and by one of the keys.
func (k PublicKeys) Signed(text string, signatures []string) (good int) {
	for _, s := range signatures {
		sig, err := gonix.ParseSignature(s)
		if err == nil && slices.ContainsFunc(k, func(k gonix.PublicKey) bool { return k.Verify(text, sig) }) {
			good++
		}
	}
	return good
}
