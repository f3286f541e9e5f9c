package goal

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	"troupe/messages"
)

// TestMain sees that no test has a goal write to what all goals share.
func TestMain(m *testing.M) {
	code := m.Run()
	if !reflect.DeepEqual(nothingSeldom, seldom{}) || !reflect.DeepEqual(nothingMore, messages.Recipe{}) {
		fmt.Fprintf(os.Stderr, "what goals share was written to: %+v, %+v\n", nothingSeldom, nothingMore)
		code = 1
	}
	os.Exit(code)
}

// TestRecipeIsWhole: whatever a recipe says is in what a goal keeps of it.
func TestRecipeIsWhole(t *testing.T) {
	nothing := recipeOf(&messages.Recipe{})
	for _, at := range parts(reflect.TypeFor[messages.Recipe](), nil) {
		var r messages.Recipe
		part := reflect.ValueOf(&r).Elem().FieldByIndex(at)
		switch part.Kind() {
		case reflect.Bool:
			part.SetBool(true)
		case reflect.String:
			part.SetString("x")
		case reflect.Int, reflect.Int64:
			part.SetInt(1)
		case reflect.Slice:
			part.Set(reflect.MakeSlice(part.Type(), 1, 1))
		default:
			t.Fatalf("no value for a %v", part.Type())
		}
		if reflect.DeepEqual(recipeOf(&r), nothing) {
			t.Errorf("%+v is lost", r)
		}
	}
}

// parts are where a structure's exported fields are that are no structures. A path
// has none: that of the recipe is the goal's own.
func parts(s reflect.Type, at []int) (all [][]int) {
	for n := range s.NumField() {
		f, here := s.Field(n), append(slices.Clone(at), n)
		switch {
		case f.Type.Kind() == reflect.Struct:
			all = append(all, parts(f.Type, here)...)
		case f.IsExported():
			all = append(all, here)
		}
	}
	return all
}
