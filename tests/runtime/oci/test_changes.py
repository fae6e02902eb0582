from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.oci.changes import apply_changes
from runtime.oci.documents import ContainerConfig, Healthcheck

BARE = ContainerConfig()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (['CMD ["a", "b c"]'], ContainerConfig(cmd=("a", "b c"))),
        (["cmd echo  hi"], ContainerConfig(cmd=("/bin/sh", "-c", "echo  hi"))),
        (['SHELL ["/x"]', "ENTRYPOINT go"], ContainerConfig(shell=("/x",), entrypoint=("/x", "go"))),
        (['ENV A=1 B=\'x y\' C="z\\""', "ENV A=2"], ContainerConfig(env=("A=2", "B=x y", 'C=z"'))),
        (["ENV A some value"], ContainerConfig(env=("A=some value",))),
        (["LABEL a=b c=d\\ e"], ContainerConfig(labels={"a": "b", "c": "d e"})),
        (["EXPOSE 80 53/UDP 8000-8001"], ContainerConfig(exposed_ports=("53/udp", "80/tcp", "8000/tcp", "8001/tcp"))),
        (["VOLUME /b /a", 'VOLUME ["/c d"]'], ContainerConfig(volumes=("/a", "/b", "/c d"))),
        (["WORKDIR /a", "WORKDIR b/../c"], ContainerConfig(working_dir="/a/c")),
        (["USER 1:2", "STOPSIGNAL SIGINT"], ContainerConfig(user="1:2", stop_signal="SIGINT")),
        (["ONBUILD RUN x"], ContainerConfig(on_build=("RUN x",))),
        (["HEALTHCHECK NONE"], ContainerConfig(healthcheck=Healthcheck(test=("NONE",)))),
        (
            ["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl x"],
            ContainerConfig(
                healthcheck=Healthcheck(
                    test=("CMD-SHELL", "curl x"), interval=90 * 10**9, timeout=500 * 10**6, retries=3
                )
            ),
        ),
        (['HEALTHCHECK CMD ["a"]'], ContainerConfig(healthcheck=Healthcheck(test=("CMD", "a")))),
    ],
)
def test_an_instruction_changes_the_config(changes: list[str], expected: ContainerConfig) -> None:
    assert apply_changes(BARE, changes) == expected


@pytest.mark.parametrize(
    "change",
    [
        "RUN x",
        "",
        "CMD",
        "ENV A",
        "ENV A=1 B",
        "ENV A='x",
        "EXPOSE x",
        "EXPOSE 0",
        "EXPOSE 70000",
        "EXPOSE 9-8",
        "USER a b",
        "SHELL sh",
        "HEALTHCHECK x",
        "HEALTHCHECK --x=1 CMD y",
        "HEALTHCHECK --interval=x CMD y",
    ],
)
def test_a_wrong_instruction_is_shown(change: str) -> None:
    with pytest.raises(UsageError, match="--change"):
        apply_changes(BARE, [change])
