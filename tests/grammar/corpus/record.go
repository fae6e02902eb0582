// Print what BuildKit's parser makes of Dockerfiles: the lines of corpus.jsonl.
//
// It reads names of files from standard input and writes one JSON object a file, its text included. It is built inside
// a checkout of BuildKit, whose package it calls; the tests read what was recorded and need neither.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type file struct {
	Name         string        `json:"name"`
	Text         string        `json:"text"`
	Fault        bool          `json:"fault,omitempty"`
	Escape       string        `json:"escape,omitempty"`
	Syntax       string        `json:"syntax,omitempty"`
	Check        string        `json:"check,omitempty"`
	BlankBefore  []int         `json:"blank_before,omitempty"`
	Instructions []instruction `json:"instructions,omitempty"`
}

type instruction struct {
	Keyword   string       `json:"keyword"`
	Lines     []int        `json:"lines,omitempty"`
	Flags     []string     `json:"flags,omitempty"`
	Exec      bool         `json:"exec,omitempty"`
	Arguments []string     `json:"arguments,omitempty"`
	Heredocs  []heredoc    `json:"heredocs,omitempty"`
	Comment   string       `json:"comment,omitempty"`
	Trigger   *instruction `json:"trigger,omitempty"`
}

type heredoc struct {
	Delimiter string `json:"delimiter"`
	Body      string `json:"body"`
	Expand    bool   `json:"expand"`
	StripTabs bool   `json:"strip_tabs"`
}

// brief gives a long text by its beginning, its length and its digest.
func brief(text string) string {
	letters := []rune(text)
	if len(letters) <= 32 {
		return text
	}
	digest := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s… %d %x", string(letters[:12]), len(letters), digest[:4])
}

func describe(node *parser.Node) instruction {
	made := instruction{
		Keyword: strings.ToLower(node.Value),
		Flags:   node.Flags,
		Exec:    node.Attributes["json"],
		Comment: brief(strings.Join(node.PrevComment, "\n")),
	}
	if node.StartLine > 0 {
		made.Lines = []int{node.StartLine, node.EndLine}
	}
	for _, document := range node.Heredocs {
		made.Heredocs = append(made.Heredocs, heredoc{document.Name, brief(document.Content), document.Expand, document.Chomp})
	}
	if _, known := command.Commands[made.Keyword]; !known {
		return made
	}
	place := 0
	for next := node.Next; next != nil; next = next.Next {
		switch {
		case len(next.Children) > 0:
			trigger := describe(next.Children[0])
			made.Trigger = &trigger
		case place%3 == 2 && (made.Keyword == command.Env || made.Keyword == command.Label): // the separator
		default:
			made.Arguments = append(made.Arguments, brief(next.Value))
		}
		place++
	}
	return made
}

func read(name string) file {
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	made := file{Name: path.Base(name), Text: string(text)}
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		made.Fault = true
		return made
	}
	made.Escape = string(result.EscapeToken)
	_, made.Syntax, _, _ = parser.ParseDirective("syntax", text)
	_, made.Check, _, _ = parser.ParseDirective("check", text)
	for _, warning := range result.Warnings {
		made.BlankBefore = append(made.BlankBefore, warning.Location.Start.Line)
	}
	for _, child := range result.AST.Children {
		made.Instructions = append(made.Instructions, describe(child))
	}
	return made
}

func main() {
	names := bufio.NewScanner(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for names.Scan() {
		output.Encode(read(names.Text()))
	}
}
