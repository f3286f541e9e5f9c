//go:build !amd64

package main

// legacy: newer machines have no calls of old.
func legacy() {}
