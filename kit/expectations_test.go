package kit

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestExpectations(t *testing.T) {
	e, k := NewExpectations(), Key{"n", "a"}
	held := func() bool { return e.Wait(k, "u") > 0 }
	e.Creations(k, "u", 2)
	e.Deletions(k, "u", "x")
	e.Created(k)
	if !held() {
		t.Error("satisfied too early")
	}
	e.Created(k)
	e.Deleted(k, "other")
	if !held() || !e.Going(k)["x"] {
		t.Error("a deletion is forgotten")
	}
	e.Deleted(k, "x")
	if held() {
		t.Error("not satisfied though all was seen")
	}
}

// TestExpectationsRunOut: what never comes holds the owner back only so long, and says how long.
func TestExpectationsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, k := NewExpectations(), Key{"n", "a"}
		e.Creations(k, "u", 1)
		left := e.Wait(k, "u")
		if left != expectationsLast {
			t.Errorf("held back for %s, want %s", left, expectationsLast)
		}
		time.Sleep(left)
		if left := e.Wait(k, "u"); left != 0 {
			t.Errorf("still held back for %s", left)
		}
		e.Creations(k, "u", 1) // begins anew
		if left := e.Wait(k, "u"); left != expectationsLast {
			t.Errorf("held back for %s, want %s", left, expectationsLast)
		}
	})
}

// TestExpectationsAreOfOneOwner: another owner of the name is not held back by them.
func TestExpectationsAreOfOneOwner(t *testing.T) {
	e, k := NewExpectations(), Key{"n", "a"}
	e.Creations(k, "old", 7)
	e.Deletions(k, "old", "x")
	if e.Wait(k, "new") != 0 || len(e.Going(k)) != 0 {
		t.Error("the new owner is held back by what the old one asked for")
	}
	e.Creations(k, "old", 7)
	e.Creations(k, "new", 1)
	e.Created(k)
	if e.Wait(k, "new") != 0 {
		t.Error("the old owner's creations count for the new one")
	}
}

func TestNotesAreOfOneObject(t *testing.T) {
	var n Notes[int]
	k := Key{"n", "a"}
	n.Set(k, "old", 1)
	if _, ok := n.Get(k, "new"); ok {
		t.Error("another object has the note")
	}
	if v, ok := n.Get(k, "old"); !ok || v != 1 {
		t.Error("the note is lost")
	}
	n.Set(k, "new", 2)
	if n.Drop(k, "old") {
		t.Error("dropped the note of another object")
	}
	if v, ok := n.Get(k, "new"); !ok || v != 2 || !n.Drop(k, "new") || n.Drop(k, "new") {
		t.Error("the note is lost, or stays")
	}
}
