//go:build !race

package binarycache

const raced = false
