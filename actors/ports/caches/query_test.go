package caches

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"testing"

	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// answered is a program that answers with a text.
func answered(text string) *programSource {
	return &programSource{layout: localstore.Layout{Dir: "/nix/store"}, ask: discard{io.Discard}, answers: bufio.NewReaderSize(strings.NewReader(text), maxAnswer)}
}

const (
	helloBase = "1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-hello"
	otherBase = "2r2c1hkiirq3npgvlgqmqckfkdj3gm1k-other"
)

func TestProgramAnswers(t *testing.T) {
	hello, err := storepath.ParseBase(helloBase)
	if err != nil {
		t.Fatal(err)
	}
	got, found, err := answered("1\n/nix/store/" + otherBase + ".drv\n2\n/nix/store/" + otherBase + "\n/nix/store/" + helloBase + "\n10\n20\n0\n").info(hello)
	if err != nil || !found || got.Path != hello || got.Deriver.Base() != otherBase+".drv" || len(got.References) != 2 || got.References[0] != hello ||
		got.FileSize != 10 || got.NarSize != 20 {
		t.Errorf("%+v, %v, %v", got, found, err)
	}
	for text, want := range map[string]string{
		"":                                 "it ended",
		"2\n":                              "it says '2' where a number up to 1 is to be",
		"1\n/etc/passwd\n":                 "is not in the store",
		"1\n\n99999999\n":                  "it says '99999999'",
		"1\n\n1\n\n":                       "is not in the store",
		"1\n\n0\n-1\n0\n":                  "it says '-1'",
		"1\n\n0\n0":                        "it ended",
		"1\n" + strings.Repeat("x", 1<<13): "buffer full",
	} {
		if _, found, err := answered(text).info(hello); found || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %s", text, found, err, want)
		}
	}
}

func FuzzProgramAnswers(f *testing.F) {
	hello, err := storepath.ParseBase(helloBase)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("0\n")
	f.Add("1\n\n1\n/nix/store/" + otherBase + "\n10\n20\n")
	f.Fuzz(func(t *testing.T, text string) {
		info, found, err := answered(text).info(hello)
		if found && err != nil {
			t.Errorf("%q: found, and %v", text, err)
		}
		if found && (info.Path != hello || !slices.IsSortedFunc(info.References, storepath.Path.Compare)) {
			t.Errorf("%q: %+v", text, info)
		}
	})
}
