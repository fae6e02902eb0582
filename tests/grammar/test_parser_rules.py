"""What `parse` gives, rule by rule: keywords, flags, forms, words, assignments, here-documents."""

from __future__ import annotations

from typing import Any

import pytest

from grammar.parser import parse


def only(text: str) -> dict[str, Any]:
    """Return the one instruction of `text` without its lines and whatever is as it is by default."""
    (node,) = parse(text).instructions
    return brief(node.to_dict())


def brief(document: dict[str, Any]) -> dict[str, Any]:
    usual = {"flags": [], "form": "shell", "arguments": [], "heredocs": []}
    kept = {name: value for name, value in document.items() if value != usual.get(name) and "_line" not in name}
    if "trigger" in kept:
        kept["trigger"] = brief(kept["trigger"])
    return kept


def shell(keyword: str, *arguments: str, **others: Any) -> dict[str, Any]:
    return {"keyword": keyword, **({"arguments": list(arguments)} if arguments else {}), **others}


def exec_(keyword: str, *arguments: str, **others: Any) -> dict[str, Any]:
    return shell(keyword, *arguments, form="exec", **others)


def heredoc(delimiter: str, content: str, *, expand: bool = True, strip_tabs: bool = False) -> dict[str, Any]:
    return {"delimiter": delimiter, "content": content, "expand": expand, "strip_tabs": strip_tabs}


JUDGES_NOTHING = [
    ("FROM", shell("from")),
    ("FROM a b c d", shell("from", "a", "b", "c", "d")),
    ("COPY --what a b", shell("copy", "a", "b", flags=["--what"])),
    ("COPY", shell("copy")),
    ("FOO --bar a  b", shell("foo", "a", "b", flags=["--bar"])),
    ("HEALTHCHECK", shell("healthcheck")),
    ("HEALTHCHECK CONNECT x  y", shell("healthcheck", "CONNECT", "x  y")),
    ("ONBUILD", shell("onbuild")),
    ("ENV", shell("env")),
    ("ARG", shell("arg")),
    ("SHELL bash -c", shell("shell", "bash -c")),
    ("ENV =b", shell("env", "", "b")),
    ("RUN --mount=a --mount=a x", shell("run", "x", flags=["--mount=a", "--mount=a"])),
]

KEYWORDS = [
    ("run a", shell("run", "a")),
    ("rUn\ta", shell("run", "a")),
    ("RUN\v\f\r a", shell("run", "a")),
    ("RUN\u00a0a b", shell("run\u00a0a", "b")),
    ("RUN \u00a0 a\u2003", shell("run", "a")),
    ("RUNa b", shell("runa", "b")),
    ("U\u017fER a b", shell("u\u017fer", "a", "b")),
    ("WOR\u212aDIR a b", shell("workdir", "a b")),
    ("HEALTHCHEC\u212a none", shell("healthcheck", "NONE")),
    ("R\\\nUN a", shell("run", "a")),
    ("\x00", shell("\x00")),
]

FLAGS = [
    ("COPY --from=a --link b c", shell("copy", "b", "c", flags=["--from=a", "--link"])),
    ("COPY a --from=b c", shell("copy", "a", "--from=b", "c")),
    ("COPY -x a", shell("copy", "-x", "a")),
    ("COPY -- --from=a b", shell("copy", "--from=a", "b")),
    ("COPY --x -- -- a", shell("copy", "--", "a", flags=["--x"])),
    ("COPY --", shell("copy")),
    ("COPY --x --", shell("copy", flags=["--x"])),
    ("CMD --x a", shell("cmd", "a", flags=["--x"])),
    ("ENV --a=b c=d", shell("env", "c", "d", flags=["--a=b"])),
    ("LABEL --a b c", shell("label", "b", "c", flags=["--a"])),
    ("ARG --a b", shell("arg", "b", flags=["--a"])),
    ("WORKDIR --a /b", shell("workdir", "/b", flags=["--a"])),
    ("RUN --mount=\"id=a b\",x='c d' e", shell("run", "e", flags=["--mount=\"id=a b\",x='c d'"])),
    ("RUN --a=b\\ c d", shell("run", "d", flags=["--a=b\\ c"])),
    ('RUN --a="\\"b c" d', shell("run", "d", flags=['--a="\\"b c"'])),
    (
        "RUN --mount=type=cache,\\\n# c\ntarget=/x \\\n --y a",
        shell("run", "a", flags=["--mount=type=cache,target=/x", "--y"]),
    ),
    ('RUN --a="b c', shell("run", flags=['--a="b c'])),
    ('RUN --x ["a"]', exec_("run", "a", flags=["--x"])),
    ("RUN ---x a", shell("run", "a", flags=["---x"])),
    ("RUN --x \u00a0--y", shell("run", "--y", flags=["--x"])),
    ("RUN --a=\u00a0b c", shell("run", "c", flags=["--a=\u00a0b"])),
]

JSON = [
    *(
        (f'{keyword} [ "a" ,"b c" ]', exec_(keyword.lower(), "a", "b c"))
        for keyword in "RUN CMD ENTRYPOINT SHELL".split()
    ),
    *((f'{keyword} ["a"]', exec_(keyword.lower(), "a")) for keyword in "ADD COPY VOLUME".split()),
    ('HEALTHCHECK CMD ["a"]', exec_("healthcheck", "CMD", "a")),
    *(
        (f'{keyword} ["a"]', shell(keyword.lower(), '["a"]'))
        for keyword in "FROM EXPOSE WORKDIR USER STOPSIGNAL".split()
    ),
    ('MAINTAINER ["a"]', shell("maintainer", '["a"]')),
    ('ARG ["a"]', shell("arg", '["a"]')),
    ('ENV ["a"] b', shell("env", '["a"]', "b")),
    ("CMD []", exec_("cmd")),
    ("CMD [ \t]", exec_("cmd")),
    ('CMD ["a"]\u00a0', exec_("cmd", "a")),
    ('CMD \u00a0["a"]', exec_("cmd", "a")),
    ("CMD ['a']", shell("cmd", "['a']")),
    ('CMD ["a",]', shell("cmd", '["a",]')),
    ('CMD ["a"] b', shell("cmd", '["a"] b')),
    ('CMD ["a"] # c', shell("cmd", '["a"] # c')),
    ('CMD ["a" "b"]', shell("cmd", '["a" "b"]')),
    ('CMD ["c:\\windows"]', shell("cmd", '["c:\\windows"]')),
    ('CMD ["a\tb"]', shell("cmd", '["a\tb"]')),
    ('CMD ["a",\v"b"]', shell("cmd", '["a",\v"b"]')),
    ('CMD ["\\u12"]', shell("cmd", '["\\u12"]')),
    ('CMD ["\\x41"]', shell("cmd", '["\\x41"]')),
    ('CMD ["\x00"]', shell("cmd", '["\x00"]')),
    ("CMD [NaN]", shell("cmd", "[NaN]")),
    ("CMD [Infinity]", shell("cmd", "[Infinity]")),
    ("CMD [-Infinity]", shell("cmd", "[-Infinity]")),
    ("CMD [01]", shell("cmd", "[01]")),
    ("CMD [.5]", shell("cmd", "[.5]")),
    ("CMD [1.]", shell("cmd", "[1.]")),
    ("CMD [+1]", shell("cmd", "[+1]")),
    ("CMD [1,\f2]", shell("cmd", "[1,\f2]")),
    ("CMD [\u00a01]", shell("cmd", "[\u00a01]")),
    ("CMD [True]", shell("cmd", "[True]")),
    ('CMD [{"a":1,}]', shell("cmd", '[{"a":1,}]')),
    ('CMD [{1:"a"}]', shell("cmd", '[{1:"a"}]')),
    ("CMD [", shell("cmd", "[")),
    ("CMD [1", shell("cmd", "[1")),
    ("CMD [a b", shell("cmd", "[a b")),
    ("COPY [a b", shell("copy", "[a", "b")),
    ('RUN [ -f x ] && echo "[1]"', shell("run", '[ -f x ] && echo "[1]"')),
    ('CMD ["\\ud800"]', exec_("cmd", "\ufffd")),
    ('CMD ["\\ud800\\u0041"]', exec_("cmd", "\ufffdA")),
    ('CMD ["\\udc00\\ud800"]', exec_("cmd", "\ufffd\ufffd")),
    ('CMD ["\\ud83d\\ude00"]', exec_("cmd", "\U0001f600")),
    ('CMD ["\ud800"]', exec_("cmd", "\ufffd")),
    ('CMD ["\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"]', exec_("cmd", '"\\/\b\f\n\r\té')),
    ('CMD ["a", \\\n# c\n\n "b"]', exec_("cmd", "a", "b")),
    ('CMD ["\x7f\u2028"]', exec_("cmd", "\x7f\u2028")),
]

WORDS = [
    ("FROM a  AS\tb", shell("from", "a", "AS", "b")),
    ("EXPOSE 80 443/tcp", shell("expose", "80", "443/tcp")),
    ('COPY "a b" c', shell("copy", '"a', 'b"', "c")),
    ("COPY \"a\" 'b'", shell("copy", '"a"', "'b'")),
    ("COPY a\\ b c", shell("copy", "a\\", "b", "c")),
    ("COPY a\u00a0b c", shell("copy", "a\u00a0b", "c")),
    ("COPY a \u00a0 c", shell("copy", "a", "\u00a0", "c")),
    ("ADD a\fb\vc\rd", shell("add", "a", "b", "c", "d")),
    ("VOLUME /a /b", shell("volume", "/a", "/b")),
]

WHOLE_REST = [
    ("WORKDIR /a b", shell("workdir", "/a b")),
    ('WORKDIR "/a  b"', shell("workdir", '"/a  b"')),
    ("USER a b", shell("user", "a b")),
    ("STOPSIGNAL 9 x", shell("stopsignal", "9 x")),
    ("MAINTAINER A <a@b>", shell("maintainer", "A <a@b>")),
    ("RUN  a   b", shell("run", "a   b")),
    ("RUN", shell("run")),
    ("CMD a # b", shell("cmd", "a # b")),
    ('RUN echo "a', shell("run", 'echo "a')),
]

ONBUILD = [
    ("ONBUILD RUN a b", shell("onbuild", trigger=shell("run", "a b"))),
    ("onbuild copy --from=x a b", shell("onbuild", trigger=shell("copy", "a", "b", flags=["--from=x"]))),
    ('ONBUILD CMD ["a"]', shell("onbuild", trigger=exec_("cmd", "a"))),
    ("ONBUILD FOO x", shell("onbuild", trigger=shell("foo", "x"))),
    ("ONBUILD --x RUN a", shell("onbuild", flags=["--x"], trigger=shell("run", "a"))),
    ("ONBUILD FROM a", shell("onbuild", trigger=shell("from", "a"))),
    ("ONBUILD ONBUILD RUN a", shell("onbuild", trigger=shell("onbuild", trigger=shell("run", "a")))),
    ("ONBUILD ENV a=1 b=2", shell("onbuild", trigger=shell("env", "a", "1", "b", "2"))),
    ("ONBUILD HEALTHCHECK none", shell("onbuild", trigger=shell("healthcheck", "NONE"))),
]

HEALTHCHECK = [
    ("HEALTHCHECK NONE", shell("healthcheck", "NONE")),
    ("HEALTHCHECK none", shell("healthcheck", "NONE")),
    ("HEALTHCHECK nones", shell("healthcheck", "nones")),
    ("HEALTHCHECK CMD", shell("healthcheck", "CMD")),
    ("HEALTHCHECK cMd a  b", shell("healthcheck", "CMD", "a  b")),
    (
        "HEALTHCHECK --interval=5s --retries=3 CMD a",
        shell("healthcheck", "CMD", "a", flags=["--interval=5s", "--retries=3"]),
    ),
    ("HEALTHCHECK CMD --x", shell("healthcheck", "CMD", "--x")),
    ("HEALTHCHECK CMD []", exec_("healthcheck", "CMD")),
    ("HEALTHCHECK CMD ['a']", shell("healthcheck", "CMD", "['a']")),
    ("HEALTHCHECK NONE a b", shell("healthcheck", "NONE", "a b")),
]

ASSIGNMENTS = [
    ("ENV a b", shell("env", "a", "b")),
    ("ENV a   b  c ", shell("env", "a", "b  c")),
    ("ENV a \"b c\" 'd'", shell("env", "a", "\"b c\" 'd'")),
    ("ENV a b=c", shell("env", "a", "b=c")),
    ("ENV a =", shell("env", "a", "=")),
    ('ENV "a b" c', shell("env", '"a', 'b" c')),
    ("ENV a=b", shell("env", "a", "b")),
    ("ENV a=b=c", shell("env", "a", "b=c")),
    ("ENV a= b=", shell("env", "a", "", "b", "")),
    ("ENV a=b\\ c d=e", shell("env", "a", "b\\ c", "d", "e")),
    ("ENV a=b\\\\ d=e", shell("env", "a", "b\\\\", "d", "e")),
    ("ENV a=\"b c\" d='e f'", shell("env", "a", '"b c"', "d", "'e f'")),
    ('ENV a=b"c d"e f=g', shell("env", "a", 'b"c d"e', "f", "g")),
    ('ENV a="b\\" c" d=e', shell("env", "a", '"b\\" c"', "d", "e")),
    ("ENV a='b\\' c=d", shell("env", "a", "'b\\'", "c", "d")),
    ("ENV a=\"'\" b='\"'", shell("env", "a", '"\'"', "b", "'\"'")),
    ("ENV a=\u00a0b=c", shell("env", "a", "", "b", "c")),
    ("ENV a=1\u2003b=2\u0085c=3", shell("env", "a", "1", "b", "2", "c", "3")),
    ('ENV a="1\u2003b=2"', shell("env", "a", '"1\u2003b=2"')),
    ('ENV a="b c=d', shell("env", "a", '"b c=d')),
    ("ENV a='b c=d", shell("env", "a", "'b c=d")),
    ('LABEL "x y"=1 z=2', shell("label", '"x y"', "1", "z", "2")),
    ("LABEL 'x y'=1", shell("label", "'x y'", "1")),
    ('LABEL "x=1 2" y=3', shell("label", '"x', '1 2"', "y", "3")),
    ("LABEL 'x=1 2'\"3 4\" y=3", shell("label", "'x", '1 2\'"3 4"', "y", "3")),
    ('LABEL a"b"=1', shell("label", 'a"b"', "1")),
    ('LABEL ""=""', shell("label", '""', '""')),
    ("LABEL a\\=b=c", shell("label", "a\\", "b=c")),
    ("LABEL a\\ b=c", shell("label", "a\\ b", "c")),
    ('LABEL "a\\"b"=c', shell("label", '"a\\"b"', "c")),
    ("LABEL \\=a", shell("label", "\\", "a")),
    ("ENV $a=1 ${b}=2", shell("env", "$a", "1", "${b}", "2")),
    ("ENV a=1 \\\n# c\n\n  b=2", shell("env", "a", "1", "b", "2")),
    ("ENV a\\\nb=1", shell("env", "ab", "1")),
    ("ENV a=b\\\v", shell("env", "a", "b")),
    ("ENV a=b \\\v", shell("env", "a", "b")),
    ("ARG a", shell("arg", "a")),
    ("ARG a b=1 c=", shell("arg", "a", "b=1", "c=")),
    ('ARG a="b c" d', shell("arg", 'a="b c"', "d")),
    ("ARG a=b\\ c\u2003d", shell("arg", "a=b\\ c", "d")),
    ("ARG a='b c", shell("arg", "a='b c")),
    ("ARG a=b\\\v", shell("arg", "a=b")),
    ("ARG '' \"\"", shell("arg", "''", '""')),
]

HEREDOCS = [
    ("RUN <<E\na\nE", shell("run", "<<E", heredocs=[heredoc("E", "a\n")])),
    ("RUN <<E\nE", shell("run", "<<E", heredocs=[heredoc("E", "")])),
    ("RUN <<E ${a:0:2} ${b:=c} '${d^}'\nE", shell("run", "<<E ${a:0:2} ${b:=c} '${d^}'", heredocs=[heredoc("E", "")])),
    ("RUN <<E ${a^^}", shell("run", "<<E ${a^^}")),  # what does not read as words names no here-document
    ("RUN <<E ${#a}", shell("run", "<<E ${#a}")),
    ("RUN <<E ${a:#b}", shell("run", "<<E ${a:#b}")),
    ("RUN --mount=${a <<E b", shell("run", "<<E b", flags=["--mount=${a"])),
    ("RUN 3<<E\nE\n", shell("run", "3<<E", heredocs=[heredoc("E", "")])),
    ("RUN << E\nE\n", shell("run", "<< E", heredocs=[heredoc("E", "")])),
    ("RUN cat <<- E", shell("run", "cat <<- E")),
    ("RUN << -E\n-E\n", shell("run", "<< -E", heredocs=[heredoc("-E", "")])),
    ("RUN <<-E\n\ta\n\t \tb\n\tE\n", shell("run", "<<-E", heredocs=[heredoc("E", "a\n \tb\n", strip_tabs=True)])),
    ("RUN <<E\n\tE\n E\nE x\nE", shell("run", "<<E", heredocs=[heredoc("E", "\tE\n E\nE x\n")])),
    ("RUN <<E\r\na\r\nE\r\n", shell("run", "<<E", heredocs=[heredoc("E", "a\r\n")])),
    ("RUN <<E\n# a\n\nb \\\nE", shell("run", "<<E", heredocs=[heredoc("E", "# a\n\nb \\\n")])),
    ("RUN <<'E'\nE", shell("run", "<<'E'", heredocs=[heredoc("E", "", expand=False)])),
    ('RUN <<"E"\nE', shell("run", '<<"E"', heredocs=[heredoc("E", "", expand=False)])),
    ('RUN <<E"F"\nEF', shell("run", '<<E"F"', heredocs=[heredoc("EF", "", expand=False)])),
    ("RUN <<'a b'\na b", shell("run", "<<'a b'", heredocs=[heredoc("a b", "", expand=False)])),
    ("RUN <<e\\'f\ne'f", shell("run", "<<e\\'f", heredocs=[heredoc("e'f", "")])),
    ("RUN <<\\E\nE", shell("run", "<<\\E", heredocs=[heredoc("E", "")])),
    ("RUN <<a\\ b\na b", shell("run", "<<a\\ b", heredocs=[heredoc("a b", "")])),
    ('RUN <<"a\\x\\""\na\\x"', shell("run", '<<"a\\x\\""', heredocs=[heredoc('a\\x"', "", expand=False)])),
    ("RUN <<$E\n$E", shell("run", "<<$E", heredocs=[heredoc("$E", "")])),
    ("RUN <<${E}\n${E}", shell("run", "<<${E}", heredocs=[heredoc("${E}", "")])),
    ("RUN <<E\\${a:-b}\nE${a:-b}", shell("run", "<<E\\${a:-b}", heredocs=[heredoc("E${a:-b}", "")])),
    ("RUN <<'${a:-b}'\n${a:-b}", shell("run", "<<'${a:-b}'", heredocs=[heredoc("${a:-b}", "", expand=False)])),
    ("RUN <<E${a:-b}", shell("run", "<<E${a:-b}")),  # a substitution with an operator names none
    ("RUN <<E${a/b/c}d", shell("run", "<<E${a/b/c}d")),
    ('RUN <<"${a#b}"', shell("run", '<<"${a#b}"')),
    ("RUN <<X;\nX;", shell("run", "<<X;", heredocs=[heredoc("X;", "")])),
    ("RUN <<X>y\nX>y", shell("run", "<<X>y", heredocs=[heredoc("X>y", "")])),
    (
        "RUN cat <<A - <<B > x\na\nA\nb\nB",
        shell("run", "cat <<A - <<B > x", heredocs=[heredoc("A", "a\n"), heredoc("B", "b\n")]),
    ),
    ("RUN --mount=x <<E\nE", shell("run", "<<E", flags=["--mount=x"], heredocs=[heredoc("E", "")])),
    ("RUN <<E \\\n  python\nE", shell("run", "<<E   python", heredocs=[heredoc("E", "")])),
    (
        "COPY <<a.txt <<b /dest\n1\na.txt\n2\nb",
        shell("copy", "<<a.txt", "<<b", "/dest", heredocs=[heredoc("a.txt", "1\n"), heredoc("b", "2\n")]),
    ),
    (
        "COPY <<X <<Y /d\nY\nX\nX\nY",
        shell("copy", "<<X", "<<Y", "/d", heredocs=[heredoc("X", "Y\n"), heredoc("Y", "X\n")]),
    ),
    ("ADD --chmod=7 <<E /d\nE", shell("add", "<<E", "/d", flags=["--chmod=7"], heredocs=[heredoc("E", "")])),
    ("ONBUILD RUN <<E\na\nE", shell("onbuild", trigger=shell("run", "<<E", heredocs=[heredoc("E", "a\n")]))),
    ("ONBUILD COPY <<E /d\na\nE", shell("onbuild", trigger=shell("copy", "<<E", "/d", heredocs=[heredoc("E", "a\n")]))),
    ("# escape=`\nRUN <<e\\'f `\n  x\ne'f", shell("run", "<<e\\'f   x", heredocs=[heredoc("e'f", "")])),
    ("RUN <<E\n\x00\x0c\u2028\nE", shell("run", "<<E", heredocs=[heredoc("E", "\x00\x0c\u2028\n")])),
    ("RUN cat <<E\u2003x\nE", shell("run", "cat <<E\u2003x", heredocs=[heredoc("E", "")])),
]

NO_HEREDOCS = [
    ('RUN "<<E"', shell("run", '"<<E"')),
    ("RUN 'a <<E b'", shell("run", "'a <<E b'")),
    ("RUN a<<E", shell("run", "a<<E")),
    ("RUN \u0663<<E", shell("run", "\u0663<<E")),
    ("RUN a <<<E", shell("run", "a <<<E")),
    ("RUN a <<< E", shell("run", "a <<< E")),
    ("RUN <<E<F", shell("run", "<<E<F")),
    ("RUN <<'E<F'", shell("run", "<<'E<F'")),
    ("RUN << <<E", shell("run", "<< <<E")),
    ("RUN a <<", shell("run", "a <<")),
    ("RUN a <<-", shell("run", "a <<-")),
    ("RUN <<''", shell("run", "<<''")),
    ("RUN \\<<E", shell("run", "\\<<E")),
    ('RUN a "b <<E', shell("run", 'a "b <<E')),
    ("RUN <<E it's", shell("run", "<<E it's")),
    ('RUN ["<<E"]', exec_("run", "<<E")),
    ('COPY ["<<E", "/d"]', exec_("copy", "<<E", "/d")),
    ("CMD <<E", shell("cmd", "<<E")),
    ("ENV a=<<E", shell("env", "a", "<<E")),
    ("USER <<E", shell("user", "<<E")),
    ("FOO <<E", shell("foo", "<<E")),
    ("ONBUILD CMD <<E", shell("onbuild", trigger=shell("cmd", "<<E"))),
    ("ONBUILD ONBUILD RUN <<E", shell("onbuild", trigger=shell("onbuild", trigger=shell("run", "<<E")))),
]

CASES = [
    *JUDGES_NOTHING,
    *KEYWORDS,
    *FLAGS,
    *JSON,
    *WORDS,
    *WHOLE_REST,
    *ONBUILD,
    *HEALTHCHECK,
    *ASSIGNMENTS,
    *HEREDOCS,
    *NO_HEREDOCS,
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[ascii(text) for text, _ in CASES])
def test_an_instruction_reads_as_it_was_written(text: str, expected: dict[str, Any]) -> None:
    assert only(text) == expected
