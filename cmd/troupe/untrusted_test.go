package main

import (
	"os"
	"testing"
)

// evilSettings are those that name a program, a path or a socket, or say whom to believe,
// with what somebody who is not trusted would have them be.
const evilSettings = `
set() { nix-build graph.nix -A leaf --no-out-link --option "$1" "$2" > /dev/null 2>&1; echo "$1: $?"; }
for name in post-build-hook pre-build-hook diff-hook build-hook plugin-files netrc-file secret-key-files ssl-cert-file build-dir \
    store builders external-builders log-dir; do set $name $work/evil; done
set sandbox-paths /bin/sh=$work/evil; set extra-sandbox-paths $work; set sandbox false; set sandbox-fallback true
set substituters file://$work/cache; set extra-substituters file://$work/cache; set require-sigs false
set trusted-public-keys evil:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; set trusted-users '*'; set allowed-users '*'
set build-users-group root; set extra-platforms evil-linux; set system-features evil; set impure-env A=B; set run-diff-hook true
`

// untrustedSteps are done by a client that is nobody's friend.
var untrustedSteps = []step{
	{script: `nix-build graph.nix -A top -o result && echo "top=$(readlink result) drv=$(nix-store -q --deriver result)" > vars`},
	{script: `nix copy --to file://$work/cache $top && nix-store --export $(nix-store -qR $top) > exported`},
	{script: evilSettings},
	{script: `nix-build graph.nix -A top --check --no-out-link --option run-diff-hook true --option diff-hook $work/evil > /dev/null 2>&1; echo $?`},
	{script: `rm result; nix-store --delete $top > /dev/null 2>&1; nix-store -q --hash $top 2> /dev/null`},

	// What others have built he may not add.
	{script: `nix copy --no-check-sigs --from file://$work/cache $top`, holds: []string{"lacks a signature by a trusted key"}},
	{script: `nix-store --import < exported > /dev/null`, holds: []string{"lacks a signature by a trusted key"}},
	{script: `nix-store --realise $top --option substituters file://$work/cache --option require-sigs false > /dev/null 2>&1; echo $?`},
	{script: `nix-store -q --hash $top 2> /dev/null`},
	{script: `nix-build graph.nix -A top --no-out-link --option substituters file://$work/cache --option require-sigs false 2>&1 | grep -c copying`},

	// Nor what is valid may he have made anew.
	{script: `nix-store --verify --repair`, holds: []string{"you are not privileged to repair paths"}},
	{script: `nix-build graph.nix -A top --no-out-link --repair`, holds: []string{"repairing is not allowed because you are not in 'trusted-users'"}},
	{script: `nix-store --add-fixed sha256 graph.nix && nix-store --add box > added && cat added`, said: true},
	{script: `nix-store --gc --print-roots | grep -c '{censored}\|/proc' > /dev/null; nix-store --delete $(cat added) > /dev/null 2>&1; echo $?`},
}

// TestUntrustedClientsCannotTell does as an ordinary user whom the daemon does not
// trust what takes trust: it goes as with nix-daemon, and no program of his runs.
func TestUntrustedClientsCannotTell(t *testing.T) {
	needNix(t)
	needBuilds(t)
	if os.Geteuid() != 0 {
		t.Skip("to be another user needs root")
	}
	s := newSite(t, nobodyUID, "sandbox = true")
	s.addExpressions()
	s.must(os.WriteFile(s.at("client/evil"), []byte("#!/bin/sh\ntouch "+s.at("client/evil-ran")+"\n"), 0o755))
	s.must(os.Chown(s.at("client"), nobodyUID, nobodyUID))
	s.must(os.Symlink("client/evil", s.at("evil")))
	s.compare(untrustedSteps)
	if exists(s.at("client/evil-ran")) {
		t.Error("a program of the client's was run")
	}
}
