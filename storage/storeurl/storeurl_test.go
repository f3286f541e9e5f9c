package storeurl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommon(t *testing.T) {
	u, settings, err := Parse("x://u:pw@a/b?priority=3&want-mass-query=yes&trusted=0&store=/s#f")
	if err != nil || u.String() != "x://u:pw@a/b" {
		t.Fatalf("%v, %v", u, err)
	}
	var got Common
	for key, values := range settings {
		if known, err := got.Set(key, values[0]); !known || err != nil {
			t.Errorf("%s: %v, %v", key, known, err)
		}
	}
	three, yes := 3, true
	if diff := cmp.Diff(Common{Priority: &three, WantMassQuery: &yes, StoreDir: "/s"}, got); diff != "" {
		t.Error(diff)
	}
	if known, err := got.Set("compression", "xz"); known || err != nil {
		t.Errorf("what not all stores have: %v, %v", known, err)
	}
	for key, value := range map[string]string{"priority": "high", "want-mass-query": "2", "trusted": "", "store": "nix"} {
		if known, err := got.Set(key, value); !known || err == nil || !strings.Contains(err.Error(), "'"+value+"'") {
			t.Errorf("%s=%s: %v, %v", key, value, known, err)
		}
	}
	for _, text := range []string{"x://u:pw@a:b/", "x://u:pw@a?%zz"} {
		if _, _, err := Parse(text); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
