package test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// setting is a number from the environment.
func setting(t testing.TB, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s=%s is no number", name, v)
	}
	return n
}

// seed is what a test draws its faults from; it is said, to have the same again with VW_TEST_SEED.
func seed(t testing.TB) uint64 {
	n := setting(t, "VW_TEST_SEED", int(rand.Uint32()))
	t.Logf("VW_TEST_SEED=%d", n)
	return uint64(n)
}
