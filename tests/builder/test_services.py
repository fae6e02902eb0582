from __future__ import annotations

import pytest

from builder.services import Service, read_services
from runtime.errors import UsageError


def test_a_service_is_a_name_and_an_image() -> None:
    assert read_services(["db=postgres:17"]) == (Service(name="db", image="postgres:17"),)


def test_fields_follow_the_image() -> None:
    text = "\"env=A=x,y\",env=B=,command=serve -p 'a b',port=5432,timeout=1m30s"
    assert read_services([f"db=localhost:5000/pg@sha256:{'0' * 64},{text}"]) == (
        Service(
            name="db",
            image=f"localhost:5000/pg@sha256:{'0' * 64}",
            environment=("A=x,y", "B="),
            command=("serve", "-p", "a b"),
            port=5432,
            timeout=90.0,
        ),
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["db"], "the image is missing"),
        (["db="], "the image is missing"),
        (["=image"], "no name of a host"),
        (["DB=image"], "'DB' is no name of a host"),
        (["a.b=image"], "no name of a host"),
        (["-a=image"], "no name of a host"),
        ([f"{'a' * 64}=image"], "no name of a host"),
        (["db=image,env=A"], "'env=A' sets no variable"),
        (["db=image,env==x"], "sets no variable"),
        (["db=image,command="], "the command is empty"),
        (["db=image,command='"], "cannot be read"),
        (["db=image,port=0"], "'0' is no port"),
        (["db=image,port=65536"], "is no port"),
        (["db=image,port=x"], "is no port"),
        (["db=image,timeout=0"], "over at once"),
        (["db=image,timeout=soon"], "invalid duration"),
        (["db=image,colour=red"], "unknown field 'colour'"),
        (["db=a", "db=b"], "there is a service db already"),
    ],
)
def test_what_cannot_be_a_service_is_refused_with_the_words_as_written(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_services(texts)
    assert texts[-1] in str(caught.value)
    assert caught.value.hint


def test_a_key_has_what_can_change_a_result_and_no_more() -> None:
    one = Service(name="db", image="a:1", identity="sha256:1", environment=("A=1",), port=80, timeout=5.0)
    same = Service(name="db", image="other-name", identity="sha256:1", environment=("A=1",))
    assert one.key_part == same.key_part
    for other in (
        Service(name="dc", image="a:1", identity="sha256:1", environment=("A=1",)),
        Service(name="db", image="a:1", identity="sha256:2", environment=("A=1",)),
        Service(name="db", image="a:1", identity="sha256:1", environment=("A=2",)),
        Service(name="db", image="a:1", identity="sha256:1", environment=("A=1",), command=("x",)),
    ):
        assert other.key_part != one.key_part
