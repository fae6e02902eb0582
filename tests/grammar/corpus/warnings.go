// Print what BuildKit's checks find in Dockerfiles: the lines of warnings.jsonl.
//
// It reads names of files from standard input and writes one JSON object a file. Every base image is taken to be empty.
// Like record.go it is built inside a checkout of BuildKit.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type empty struct{}

func (empty) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		platform = *opt.ImageOpt.Platform
	}
	config, err := json.Marshal(ocispecs.Image{Platform: platform, RootFS: ocispecs.RootFS{Type: "layers"}})
	return ref, digest.FromString(ref), config, err
}

type found struct {
	Name     string  `json:"name"`
	Fault    bool    `json:"fault,omitempty"`
	Warnings [][]any `json:"warnings,omitempty"`
}

func check(name string) found {
	made := found{Name: path.Base(name)}
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	caps := pb.Caps.CapSet(pb.Caps.All())
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildPlatforms: []ocispecs.Platform{platform}},
		SourceMap:      source,
		MetaResolver:   empty{},
		TargetPlatform: &platform,
		LLBCaps:        &caps,
	})
	made.Fault = err != nil || results.Error != nil
	if made.Fault {
		return made
	}
	for _, warning := range results.Warnings {
		line := 0
		if warning.Location != nil && len(warning.Location.Ranges) > 0 {
			line = int(warning.Location.Ranges[0].Start.Line)
		}
		made.Warnings = append(made.Warnings, []any{warning.RuleName, line})
	}
	return made
}

func main() {
	names := bufio.NewScanner(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for names.Scan() {
		output.Encode(check(names.Text()))
	}
}
