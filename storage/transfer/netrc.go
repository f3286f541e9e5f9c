package transfer

import "strings"

// machine is one entry of a netrc file; the one called "default" has no host.
type machine struct{ host, user, password string }

// netrcLogin looks a host up: the first machine of that name, or else the first default entry.
func netrcLogin(machines []machine, host string) (m machine, ok bool) {
	for _, m := range machines {
		if m.host != "" && strings.EqualFold(m.host, host) {
			return m, true
		}
	}
	for _, m := range machines {
		if m.host == "" {
			return m, true
		}
	}
	return machine{}, false
}

// parseNetrc reads the text of a netrc file. Words that it does not know are passed over, as curl does.
func parseNetrc(text string) []machine {
	var list []machine
	tokens := netrcTokens(text)
	for i := 0; i < len(tokens); i++ {
		if tokens[i] == "default" {
			list = append(list, machine{})
			continue
		}
		if i+1 == len(tokens) {
			break
		}
		switch word, value := tokens[i], tokens[i+1]; {
		case word == "machine":
			list = append(list, machine{host: value})
			i++
		case word == "login" && len(list) > 0:
			list[len(list)-1].user = value
			i++
		case word == "password" && len(list) > 0:
			list[len(list)-1].password = value
			i++
		case word == "account":
			i++
		}
	}
	return list
}

// netrcTokens splits into words: comments from a "#" at the start of a word to the end of the line are
// dropped, and so are macros ("macdef NAME" up to an empty line); a word in double quotes may have blanks
// and backslash escapes.
func netrcTokens(text string) []string {
	var tokens []string
	inMacro := false
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if inMacro {
			inMacro = line != ""
			continue
		}
		for line != "" && line[0] != '#' {
			var token string
			token, line = netrcToken(line)
			if token == "macdef" {
				inMacro = true
				break
			}
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// netrcToken takes the first word off a line that has one.
func netrcToken(line string) (token, rest string) {
	if line[0] != '"' {
		if i := strings.IndexAny(line, " \t\r"); i >= 0 {
			return line[:i], strings.TrimLeft(line[i:], " \t\r")
		}
		return line, ""
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] == '"':
			return b.String(), strings.TrimLeft(line[i+1:], " \t\r")
		case line[i] == '\\' && i+1 < len(line):
			i++
			b.WriteByte(netrcEscape(line[i]))
		default:
			b.WriteByte(line[i])
		}
	}
	return b.String(), ""
}

func netrcEscape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
