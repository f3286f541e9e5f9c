package moving

import (
	_ "embed"
	"fmt"
	"strings"

	"troupe/storage/localstore"
)

// The units of systemd that run the daemon. Each goes by the name of its file.
const (
	ServiceUnit = "troupe-daemon.service"
	SocketUnit  = "troupe-daemon.socket"
)

//go:embed units/troupe-daemon.service
var serviceText string

//go:embed units/troupe-daemon.socket
var socketText string

// Unit is a unit's name and text.
type Unit struct{ Name, Text string }

// Units are those of a store whose daemon is started by a command, an absolute
// path first, and listens at a socket.
func Units(l localstore.Layout, socket string, command []string) []Unit {
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = quote(strings.ReplaceAll(w, "$", "$$"))
	}
	fill := strings.NewReplacer("@STORE@", quote(l.RealStoreDir()), "@STATE@", quote(l.StateDir),
		"@SOCKET@", strings.ReplaceAll(socket, "%", "%%"), "@COMMAND@", strings.Join(words, " "))
	return []Unit{{ServiceUnit, fill.Replace(serviceText)}, {SocketUnit, fill.Replace(socketText)}}
}

// quote is a word of a list as systemd reads it.
func quote(word string) string {
	word = strings.ReplaceAll(word, "%", "%%")
	if strings.ContainsAny(word, " \t\n\"'\\;") {
		return fmt.Sprintf("%q", word)
	}
	return word
}
