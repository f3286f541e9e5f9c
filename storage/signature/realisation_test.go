package signature

import (
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// TestRealisationSignedByNix checks what Nix 2.34.8 signed when it built a floating
// output, and that nothing else is taken for it.
func TestRealisationSignedByNix(t *testing.T) {
	keys, err := ParsePublicKeys([]string{"test.example.org-1:a9Y62zxLjdpwcml2zsxhFlg0HY9iKbGNHDRr0ZcuuYo="})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := nixhash.Parse("sha256:c4f24aeced50c4d0aba48bd490b4cfc7da00eb907998c20464e3455fd3997e7c", nixhash.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	path, err := storepath.ParseBase("d6xm7x9cnvk5a358wzww14xsn04jx8cg-flat")
	if err != nil {
		t.Fatal(err)
	}
	r := validity.Realisation{ID: validity.DrvOutput{Hash: hash, Output: "out"}, Path: path,
		Signatures: []string{"test.example.org-1:po+xNa4cf82yqOOln5j1y7YkJgQFscqp7Ccw5FH5hpz4bxlOhG0M4YVGQxHNUAhLb3/vJbSi35T0uwiiGF7pBw=="}}
	if good := keys.ValidRealisation(r); good != 1 {
		t.Errorf("%d signatures are right", good)
	}
	r.ID.Output = "dev"
	if good := keys.ValidRealisation(r); good != 0 {
		t.Errorf("%d signatures are right for another output", good)
	}
}
