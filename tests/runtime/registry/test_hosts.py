"""Which servers serve a name, as configuration files say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import DocumentError, RegistryError
from runtime.registry import hostfiles
from runtime.registry.hosts import Endpoint, Hosts, is_loopback, split_port
from runtime.registry.proxies import proxy_for

Load = Callable[..., Hosts]


@pytest.fixture
def load(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that loads from the text of files: `own`, `later` (--config), `containers`, `docker`."""
    monkeypatch.setattr(hostfiles, "_SYSTEM", tmp_path / "own")
    monkeypatch.setattr(hostfiles, "_CONTAINERS", tmp_path / "containers")
    monkeypatch.setattr(hostfiles, "_DOCKER", tmp_path / "docker")

    def write(**files: str) -> Hosts:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        later = tmp_path / "later" if "later" in files else None
        return Hosts.load(replace(context, environ={"HOME": str(tmp_path)}, config_file=later))

    return write


def urls(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [f"{'|'.join(item.schemes)}://{item.host}/{item.repository}" for item in endpoints]


def test_docker_hub_has_a_host_of_its_own(load: Load) -> None:
    (hub,) = load().endpoints("docker.io", "library/app")
    assert urls((hub,)) == ["https://registry-1.docker.io/library/app"]
    assert hub.credential == "docker.io"


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "127.8.9.1", "localhost", "localhost:5000", "[::1]:5000"])
def test_plain_http_is_tried_on_loopback(load: Load, host: str) -> None:
    assert load().endpoints(host, "app")[0].schemes == ("http", "https")


@pytest.mark.parametrize("host", ["10.0.0.1:5000", "registry.example", "localhost.example", "127.example"])
def test_other_hosts_speak_https_alone(load: Load, host: str) -> None:
    assert load().endpoints(host, "app")[0].schemes == ("https",)


def test_our_file_names_mirrors_and_plain_hosts(load: Load) -> None:
    hosts = load(
        own="""
        [registry."docker.io"]
        mirrors = ["mirror.example", "http://10.1.1.1:5000/hub"]
        [registry."plain.example:5000"]
        plain_http = true
        [registry."lax.example"]
        insecure = true
        """
    )
    assert urls(hosts.endpoints("docker.io", "library/app")) == [
        "https://mirror.example/library/app",
        "http://10.1.1.1:5000/hub/library/app",
        "https://registry-1.docker.io/library/app",
    ]
    assert [item.mirror for item in hosts.endpoints("docker.io", "library/app")] == [True, True, False]
    assert hosts.endpoints("plain.example:5000", "app")[0].schemes == ("http",)
    lax = hosts.endpoints("lax.example", "app")[0]
    assert lax.schemes == ("https", "http")
    assert not lax.tls.verify


def test_nothing_is_pushed_to_a_mirror(load: Load) -> None:
    hosts = load(own='[registry."r.example"]\nmirrors = ["m.example"]')
    assert urls(hosts.endpoints("r.example", "app", push=True)) == ["https://r.example/app"]


def test_credentials_for_a_mirror_are_its_own(load: Load) -> None:
    hosts = load(own='[registry."docker.io"]\nmirrors = ["m.example"]')
    assert [item.credential for item in hosts.endpoints("docker.io", "library/x")] == ["m.example", "docker.io"]


def test_a_blocked_registry_is_refused(load: Load) -> None:
    hosts = load(own='[registry."bad.example"]\nblocked = true\n[registry."r.example/team"]\nblocked = true')
    for domain, path in (("bad.example", "x"), ("r.example", "team/app")):
        with pytest.raises(RegistryError, match="blocked"):
            hosts.endpoints(domain, path)
    assert hosts.endpoints("r.example", "teams")


def test_the_file_that_is_read_later_wins(load: Load) -> None:
    hosts = load(own='[registry."r.example"]\nblocked = true', later='[registry."r.example"]\nblocked = false')
    assert hosts.endpoints("r.example", "app")


def test_docker_s_daemon_json_is_read(load: Load) -> None:
    hosts = load(
        docker='{"registry-mirrors": ["https://m.example/"],'
        ' "insecure-registries": ["10.2.0.0/16", "lax.example:5000"]}'
    )
    assert urls(hosts.endpoints("docker.io", "library/app"))[0] == "https://m.example/library/app"
    assert hosts.endpoints("10.2.3.4:5000", "app")[0].schemes == ("https", "http")
    assert hosts.endpoints("10.3.3.4:5000", "app")[0].schemes == ("https",)
    assert not hosts.endpoints("lax.example:5000", "app")[0].tls.verify


def test_registries_conf_is_read(load: Load) -> None:
    hosts = load(
        containers="""
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        prefix = "docker.io/library"
        location = "copies.example/official"
        [[registry]]
        prefix = "*.corp.example"
        blocked = true
        [[registry]]
        location = "r.example"
        insecure = true
        [[registry.mirror]]
        location = "m.example/sub"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        """
    )
    assert urls(hosts.endpoints("docker.io", "library/app")) == ["https://copies.example/official/app"]
    assert urls(hosts.endpoints("docker.io", "team/app")) == ["https://registry-1.docker.io/team/app"]
    with pytest.raises(RegistryError, match="blocked"):
        hosts.endpoints("a.corp.example", "app")
    assert urls(hosts.endpoints("r.example", "x/app")) == [
        "https|http://m.example/sub/x/app",
        "https|http://r.example/x/app",
    ]
    assert "https://digests.example/x/app" in urls(hosts.endpoints("r.example", "x/app", by_digest=True))


def test_only_the_longest_prefix_of_registries_conf_is_used(load: Load) -> None:
    hosts = load(
        containers="""
        [[registry]]
        location = "r.example"
        blocked = true
        insecure = true
        [[registry]]
        location = "r.example/open"
        [[registry]]
        location = "r.example/shut"
        [[registry]]
        location = "r.example/shut"
        blocked = true
        """,
        docker='{"insecure-registries": ["r.example"]}',
    )
    assert urls(hosts.endpoints("r.example", "open/app")) == ["https|http://r.example/open/app"]
    for path in ("app", "shut/app"):
        with pytest.raises(RegistryError, match="blocked"):
            hosts.endpoints("r.example", path)


def test_what_is_said_to_be_insecure_is_so_wherever_it_is_served(load: Load) -> None:
    hosts = load(
        containers="""
        [[registry]]
        prefix = "r.example"
        location = "10.0.0.5:5000/all"
        insecure = true
        [[registry]]
        location = "r.example/safe"
        [[registry]]
        location = "s.example/team"
        insecure = true
        """
    )
    (moved,), (safe,) = hosts.endpoints("r.example", "app"), hosts.endpoints("r.example", "safe/app")
    (team,), (other,) = hosts.endpoints("s.example", "team/app"), hosts.endpoints("s.example", "app")
    assert urls((moved, safe, team, other)) == [
        "https|http://10.0.0.5:5000/all/app",
        "https://r.example/safe/app",
        "https|http://s.example/team/app",
        "https://s.example/app",
    ]
    assert [endpoint.tls.verify for endpoint in (moved, safe, team, other)] == [False, True, False, True]


def test_the_old_form_of_registries_conf_is_heeded_and_told_once(load: Load, context: Context) -> None:
    text = """
        [registries.search]
        registries = ["docker.io"]
        [registries.insecure]
        registries = ["lax.example:5000"]
        [registries.block]
        registries = ["bad.example"]
        """
    for _ in range(2):
        hosts = load(containers=text)
        with pytest.raises(RegistryError, match="blocked"):
            hosts.endpoints("bad.example", "app")
        assert not hosts.endpoints("lax.example:5000", "app")[0].tls.verify
    context.stderr.seek(0)
    told = context.stderr.read()
    assert told.count("\n") == 1
    assert "[[registry]]" in told


def test_our_file_comes_before_others(load: Load) -> None:
    hosts = load(own='[registry."docker.io"]\nmirrors = []', docker='{"registry-mirrors": ["https://m.example"]}')
    assert len(hosts.endpoints("docker.io", "library/app")) == 1


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"own": "[registry"}, "own is not TOML"),
        ({"own": '[registry."r"]\nmirror = []'}, 'registry."r".mirror'),
        ({"own": '[registry."r"]\nblocked = 1'}, "must be a boolean"),
        ({"own": '[registry."r"]\nmirrors = ["ftp://x"]'}, "is no registry"),
        ({"own": '[registry."r"]\nmirrors = ["http://u:p@x"]'}, "is no registry"),
        ({"docker": "{"}, r"docker: .*not JSON"),
        ({"containers": "[[registry]]\nblocked = true"}, "needs a prefix"),
        (
            {"containers": '[[registry]]\nlocation="r"\n[[registry.mirror]]\nlocation="m"\npull-from-mirror="no"'},
            "'no' is none of all, digest-only, tag-only",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(load: Load, files: dict[str, str], told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        load(**files)


def test_a_configuration_file_that_was_asked_for_must_exist(context: Context, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such configuration file"):
        Hosts.load(replace(context, config_file=tmp_path / "absent.toml"))


def test_certs_d_of_the_user_is_looked_into(load: Load, tmp_path: Path) -> None:
    directory = tmp_path / ".config" / "pybuild" / "certs.d" / "r.example:5000"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_text("x")
    assert load().endpoints("r.example:5000", "app")[0].tls.authorities == (directory / "ca.crt",)


def test_https_comes_first_where_loopback_has_certificates(load: Load, tmp_path: Path) -> None:
    directory = tmp_path / ".config" / "pybuild" / "certs.d" / "127.0.0.1:5000"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_text("x")
    assert load().endpoints("127.0.0.1:5000", "app")[0].schemes == ("https", "http")


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [("a:1", "a", 1), ("a", "a", None), ("[::1]:5", "::1", 5), ("::1", "::1", None), ("a:x", "a", None)],
)
def test_hosts_are_divided(host: str, name: str, port: int | None) -> None:
    assert split_port(host) == (name, port)


def test_loopback_is_known_by_name_alone() -> None:
    assert is_loopback("LOCALHOST:1")
    assert not is_loopback("127.0.0.1.example")


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://r.example/", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://r.example/", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("https://r.example/", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://r.example/", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://127.0.0.1:5000/", {"HTTPS_PROXY": "http://p"}, None),
        ("https://localhost/", {"HTTPS_PROXY": "http://p"}, None),
        ("https://r.example/", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://r.example/", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example"}, None),
        ("https://r.example/", {"HTTPS_PROXY": "http://p", "NO_PROXY": "x, .example"}, None),
        ("https://r.example:8443/", {"HTTPS_PROXY": "http://p", "NO_PROXY": "r.example:443"}, "http://p"),
        ("https://10.1.2.3/", {"HTTPS_PROXY": "http://p", "no_proxy": "10.0.0.0/8"}, None),
        ("https://myexample/", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example"}, "http://p"),
        ("https://r.example/", {}, None),
    ],
)
def test_the_proxy_is_chosen_as_go_does(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ) == expected


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("socks5://me:hidden@p", "names a SOCKS proxy"),
        ("SOCKS5H://me:hidden@p:1080", "names a SOCKS proxy"),
        ("ftp://me:hidden@p", "holds no proxy"),
        ("http://me:hidden@:0", "holds no proxy"),
    ],
)
def test_a_proxy_that_is_none_is_told_without_its_words(proxy: str, told: str) -> None:
    with pytest.raises(RegistryError, match=f"HTTPS_PROXY {told}") as caught:
        proxy_for("https://r.example/", {"HTTPS_PROXY": proxy})
    assert "hidden" not in caught.value.message
