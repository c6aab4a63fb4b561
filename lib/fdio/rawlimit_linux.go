//go:build linux && !race

package fdio

const heed = 64
