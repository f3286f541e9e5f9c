package environment

import (
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Placeholder is the text that stands for an output's path in a derivation that cannot know it yet.
func Placeholder(output string) string {
	return "/" + nixhash.Sum(nixhash.SHA256, []byte("nix-output:"+output)).Base32()
}

// rewriter replaces each output's placeholder by the path that the builder is to make. Where that is not the
// final path, the hash part of the final path is replaced as well, since the derivation's own text has it.
func rewriter(dir storepath.Dir, outputs map[string]Output) *strings.Replacer {
	var pairs []string
	for name, output := range outputs {
		pairs = append(pairs, Placeholder(name), dir.Join(output.Scratch))
		if !output.Final.IsZero() && output.Final != output.Scratch {
			pairs = append(pairs, output.Final.HashPart(), output.Scratch.HashPart())
		}
	}
	return strings.NewReplacer(pairs...)
}
