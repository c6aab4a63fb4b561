// Package singleproc makes a program that imports it run Go code on one processor. A pipe tool spends its time in
// system calls; with one processor it wakes no idle ones, which costs less than half the CPU at camera bitrates.
//
// Since it needs nothing but the runtime it is initialised before nearly all other packages. What these allocate would
// else be spread over several processors, each with pages of its own: a third of the memory that a tool has to itself.
//
// It is vw's own and may change.
package singleproc

import "runtime"

// Before is the number of processors that the program would have had, which GOMAXPROCS may have set.
var Before = runtime.GOMAXPROCS(1)
