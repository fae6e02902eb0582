from __future__ import annotations

import pytest

from runtime.cli.output import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é☃ it's", '"plain é☃ it\'s"'),
        ('a "b" \\ c', '"a \\"b\\" \\\\ c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x01\x1b\x7f", '"\\x01\\x1b\\x7f"'),
        ("\x9b\u202e\U000e0001", '"\\u009b\\u202e\\U000e0001"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_text_is_quoted_as_go_quotes_it(text: str, shown: str) -> None:
    assert quoted(text) == shown
