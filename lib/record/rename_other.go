//go:build !linux

package record

func renameNoReplace(from, to string) error { return linkNoReplace(from, to) }
