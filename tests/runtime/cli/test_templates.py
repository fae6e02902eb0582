from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.templateparser import FUNCTION_NAMES, TemplateError
from runtime.cli.templates import FUNCTIONS, Template, render, to_json

DATA = {
    "Id": "sha256:ab",
    "Size": 119801310,
    "RepoTags": ["debian:trixie", "b:1"],
    "Empty": [],
    "None": None,
    "Config": {"Labels": {"a": "1", "com.x": "y"}, "Env": ["A=1"]},
    "Ok": True,
    "Label": {"a": "1"}.get,
    "NanoCpus": 5,
    "Entrypoint": None,
    "Volumes": None,
    "Ratio": 2.5,
    "Mounts": [
        {"Type": "bind", "Source": "/a", "Destination": "/x", "Mode": "", "RW": True, "Propagation": "rprivate"},
        {"Type": "volume", "Name": "v", "Source": "/b", "Destination": "/y", "Driver": "local", "RW": False},
    ],
    "Wanted": [{"Type": "tmpfs", "Target": "/t"}],
    "Volume": {
        "CreatedAt": "now",
        "Driver": "local",
        "Labels": None,
        "Mountpoint": "/p",
        "Name": "v",
        "Options": None,
        "Scope": "local",
    },
    "Ports": [{"Host": "1", "In": 80}, {"Host": "2", "In": 81}],
}


@pytest.mark.parametrize(
    ("template", "output"),
    [
        ("plain", "plain"),
        ("{{.Id}} {{.Size}}", "sha256:ab 119801310"),
        ("{{.RepoTags}}|{{.Config.Labels}}|{{.None}}|{{.Ok}}|{{.Ratio}}",
         "[debian:trixie b:1]|map[a:1 com.x:y]|<nil>|true|2.5"),
        ("{{.Config.Labels.foo}}|{{.Config.Healthcheck}}|{{.Config.Cmd}}|{{.Config.User}}", "<no value>|<nil>|[]|"),
        ('{{index .Config.Labels "com.x"}}|{{index .Config.Labels "no"}}|{{index .RepoTags 1}}', "y||b:1"),
        ('{{(index .Ports 1).Host}} {{index .Ports 0 "In"}}', "2 80"),
        ('{{println "a" 1}}', "a 1\n"),
        ('{{printf "%q %v %5d|%-5s|%05.2f|%%|%x" "x" .RepoTags 3 "a" 2.5 255}}',
         '"x" [debian:trixie b:1]     3|a    |02.50|%|ff'),
        ('{{printf "%d" "a"}}{{printf "%s"}}{{printf "x" 1}}', "%!d(string=a)%!s(MISSING)x%!(EXTRA int=1)"),
        ("{{len .RepoTags}}{{len .Id}}{{len .Config.Labels}}", "292"),
        ('{{join .RepoTags ","}}', "debian:trixie,b:1"),
        ("{{json .RepoTags}}{{json .None}}", '["debian:trixie","b:1"]null'),
        ("{{eq 1 2}} {{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1.5 1}} {{ge 1 2}} {{eq .Id .Id}}",
         "false true true true true true false true"),
        ("{{and 1 0}}{{and 1 2}}{{or 0 3}}{{or 0 0}}{{not true}}", "0230false"),
        ('{{pad "a" 2 3}}|{{truncate "abcdef" 3}}|{{title "ab cd"}}|{{split "a,b" ","}}|{{upper "x"}}{{lower "Y"}}',
         "  a   |abc|Ab Cd|[a b]|Xy"),
        ('{{.Id | upper | printf "%s-%s" "x"}}', "x-SHA256:AB"),
        ("{{range .RepoTags}}[{{.}}]{{end}}", "[debian:trixie][b:1]"),
        ("{{range $i, $e := .RepoTags}}{{$i}}={{$e}};{{end}}", "0=debian:trixie;1=b:1;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}", "a:1 com.x:y "),
        ("{{range .Empty}}x{{else}}none{{end}}{{range .None}}x{{end}}", "none"),
        ("{{range $p := .Ports}}{{if eq $p.In 81}}{{break}}{{end}}{{.Host}}{{end}}", "1"),
        ("{{range .Ports}}{{if eq .In 80}}{{continue}}{{end}}{{.Host}}{{end}}", "2"),
        ("{{with .Config.Env}}{{index . 0}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "A=1y"),
        ("{{if .Empty}}a{{else if .Ok}}b{{else}}c{{end}}", "b"),
        ("{{if .Empty}}a{{else if .None}}b{{else}}c{{end}}d", "cd"),
        ("{{if .Ok}}{{if .Empty}}1{{else}}2{{end}}{{else}}3{{end}}", "2"),
        ("{{$x := .Size}}{{if true}}{{$x = 5}}{{$y := 1}}{{end}}{{$x}}", "5"),
        ("a {{- .Size -}}  b", "a119801310b"),
        ("a{{/* comment }} */}}b {{- /* c */ -}} c", "abc"),
        ('{{"a\\tb\\u00e9\\x41"}}{{`r\\n`}}{{\'a\'}}{{1.0}}{{-3}}{{0x10}}', "a\tbéAr\\n971-316"),
        ("{{$.Id}}{{range .Ports}}{{$.Id}}{{end}}", "sha256:ab" * 3),
        ('{{"}}"}}', "}}"),
        ("{{print 1 2}}{{print \"a\" 1}}{{slice .Id 0 3}}", "1 2a1sha"),
        ("{{ .Ports | len | eq 2 }}", "true"),
        ('{{define "T"}}<{{.}}{{$}}>{{end}}{{template "T" .Id}}', "<sha256:absha256:ab>"),
        ('{{template "T"}}{{define "T"}}[{{.}}]{{end}}', "[<nil>]"),
        ('{{block "T" .Id}}({{.}}){{end}}{{template "T" .Size}}', "(sha256:ab)(119801310)"),
        ('{{.Label "a"}}{{.Label "a" | upper}}{{upper (.Label "a")}}', "111"),
        ("{{.NanoCPUs}} {{.ID}}", "5 sha256:ab"),
        ("{{.Entrypoint}}{{json .Entrypoint}}{{.Volumes}}{{json .Volumes}}{{len .Volumes}}", "[]nullmap[]null0"),
        ("{{range .Mounts}}{{.Type}} {{.Name}}{{.Driver}}{{.Source}};{{end}}", "bind /a;volume vlocal/b;"),
        ("{{range .Wanted}}{{.ReadOnly}} {{.Source}}|{{.BindOptions}}{{if .VolumeOptions}}x{{end}}{{.}}{{end}}",
         "false |<nil>{tmpfs  /t false  <nil> <nil> <nil> <nil> <nil>}"),
        ("{{.Volume.Status}}{{.Volume.UsageData}}{{.Volume}}",
         "map[]<nil>{<nil> now local map[] /p v map[] local map[] <nil>}"),
        ('{{html "<a>" 1}} {{js "a\\"<"}} {{urlquery "a b&c"}}', '&lt;a&gt;1 a\\"\\u003C a+b%26c'),
    ],
)  # fmt: skip
def test_a_template_is_filled_in_as_go_does(template: str, output: str) -> None:
    assert render(template, DATA) == output


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Id", "unclosed action"),
        ("{{foo .Id}}", 'function "foo" not defined'),
        ("{{.Foo}}", "no field 'Foo'"),
        ("{{.Id.X}}", "a string has no field 'X'"),
        ("{{.None.X}}", "nil has no field"),
        ("{{nil}}", "nil is not a command"),
        ("{{}}", "missing value"),
        ("{{if .Id}}", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "unexpected {{else}}"),
        ("{{if 1}}{{else x}}{{end}}", "unexpected {{else x}}"),
        ("{{break}}", "outside {{range}}"),
        ("{{/* x", "unclosed comment"),
        ('{{"a}}', "unclosed action"),
        ("{{.Id | .Size}}", "non executable command"),
        ("{{.Id 3}}", "cannot be invoked"),
        ("{{(.Id}}", "unclosed left paren"),
        ("{{.Id)}}", "unexpected ')'"),
        ("{{$x}}", "undefined variable"),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "undefined variable"),
        ("{{index .RepoTags 9}}", "out of range"),
        ("{{index .RepoTags true}}", "no integer"),
        ("{{len 3}}", "len of"),
        ("{{lt 1 true}}", "invalid type"),
        ("{{lt 1 .Id}}", "incompatible"),
        ("{{join 1 2}}", "no list"),
        ("{{upper 1}}", "no string"),
        ("{{json}}", "wrong number of args"),
        ("{{range .Id}}{{end}}", "can't iterate"),
        ("{{3 .Id}}", "can't give argument"),
        ('{{template "x"}}', 'template "x" not defined'),
        ('{{if 1}}{{define "x"}}{{end}}{{end}}', "unexpected {{define"),
        ("{{define x}}{{end}}", "missing name"),
        ('{{define "x"}}{{else}}{{end}}', "unexpected {{else}}"),
        ('{{block "x"}}{{end}}', "missing value for block"),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "maximum template depth"),
        ('{{block "x" .Id}}', "unexpected EOF"),
        ("{{.Label}}", "wrong number of args"),
        ('{{.Label "a" "b"}}', "wrong number of args for Label: want 1 got 2"),
        ('{{printf "%999999999d" 1}}', "at most"),
        ('{{pad "a" 99999999 0}}', "at most"),
        ("{{?}}", "unexpected '?'"),
        ("(" * 100, ""),
        ("{{" + "(" * 100 + "1" + ")" * 100 + "}}", "parentheses"),
        ("{{if 1}}" * 100 + "{{end}}" * 100, "blocks inside"),
    ],
)
def test_a_faulty_template_is_explained(template: str, message: str) -> None:
    if message:
        with pytest.raises(TemplateError) as caught:
            render(template, DATA)
        assert message in str(caught.value)
    else:
        assert render(template, DATA) == template


def test_the_nearest_field_is_offered() -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{.Confg}}", DATA)
    assert caught.value.hint == "did you mean .Config?"


def test_every_function_has_its_name() -> None:
    assert set(FUNCTION_NAMES) == {"and", "or", *FUNCTIONS}


def test_json_is_safe_on_a_terminal() -> None:
    assert to_json("\x1b\x9b\u202e\udc80é") == '"\\u001b\\u009b\\u202e\\udc80é"'


@given(st.text(st.sampled_from('{}.$|()"`-/*= \nabcifendrangeelsewith019'), max_size=60))
def test_any_template_is_filled_in_or_refused(template: str) -> None:
    try:
        Template("{{" + template + "}}").render(DATA)
    except TemplateError:
        pass
