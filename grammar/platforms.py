"""Read platform names (`linux/arm64`, `linux/arm/v7`) and give the arguments that stand for them in a Dockerfile."""

from __future__ import annotations

import re

from frozen import Frozen
from grammar.errors import DockerfileError

_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_ARCHITECTURES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_SYSTEMS = {"macos": "darwin"}
_KNOWN_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd", "openbsd", "netbsd"))
_KNOWN_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split()
)


class Platform(Frozen, kw_only=False):
    """An operating system, an architecture and its variant, in the spelling of OCI image indexes."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str, default: Platform | None = None) -> Platform:
    """Return the platform that `text` names; one word is a system or an architecture, the rest is `default`'s.

    Other spellings (`aarch64`, `x86_64`) become OCI's, and a variant that says nothing (`arm64/v8`, `amd64/v1`) goes.
    Raises DockerfileError without a line.
    """
    parts = text.split("/")
    if len(parts) > 3 or not all(_COMPONENT.fullmatch(part) for part in parts):
        raise DockerfileError(f"failed to parse platform {text}", hint="write it like linux/amd64 or linux/arm/v7")
    default = default or Platform("linux", "amd64")
    first = parts[0].lower()
    if len(parts) == 1:
        system = _SYSTEMS.get(first, first)
        if system in _KNOWN_SYSTEMS:
            return Platform(system, default.architecture, default.variant)
        architecture, variant = _architecture(first, "")
        if architecture not in _KNOWN_ARCHITECTURES:
            raise DockerfileError(
                f"failed to parse platform {text}: unknown operating system or architecture",
                hint="write it like linux/amd64 or linux/arm/v7",
            )
        return Platform(default.os, architecture, variant)
    architecture, variant = _architecture(parts[1].lower(), parts[2].lower() if len(parts) == 3 else "")
    return Platform(_SYSTEMS.get(first, first), architecture, variant)


def _architecture(name: str, variant: str) -> tuple[str, str]:
    if name in _ARCHITECTURES:
        name, implied = _ARCHITECTURES[name]
        variant = implied or variant
    if name == "arm":
        return name, variant if variant.startswith("v") else f"v{variant or 7}"
    if (name, variant) in (("arm64", "8"), ("arm64", "v8"), ("amd64", "v1")):
        return name, ""
    return name, variant


def platform_arguments(prefix: str, platform: Platform) -> dict[str, str]:
    """Return `TARGETPLATFORM`, `TARGETOS`, … (or BUILD…, by `prefix`) and their values."""
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }
