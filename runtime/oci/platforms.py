"""Name platforms as containerd does, and choose among those that an index offers.

Normalisation: github.com/containerd/platforms § Normalization (aarch64 is arm64, armhf is arm/v7, x86_64 is amd64).
The document form is OCI image-spec, image-index.md § platform.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from frozen import Frozen, field, replace
from runtime.errors import UsageError
from runtime.oci.fields import Reader

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_KNOWN_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows".split()
)
_ARCHITECTURES = {
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
"""Other names of an architecture, with the variant that they imply: None keeps what was said."""
_KNOWN_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x wasm sparc64".split()
)
_FIELDS = ("architecture", "os", "os.version", "os.features", "variant")


class Platform(Frozen):
    """An operating system, an architecture and its variant ("" where there is none), normalised by `normalised`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields of the document that have no meaning here."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        document: dict[str, object] = {**self.extra, "architecture": self.architecture, "os": self.os}
        if self.os_version:
            document["os.version"] = self.os_version
        if self.os_features:
            document["os.features"] = list(self.os_features)
        if self.variant:
            document["variant"] = self.variant
        return document

    def normalised(self) -> Platform:
        """Spell the parts as containerd does; arm64's v8 and amd64's v1 are what goes without saying."""
        system = self.os.lower()
        system = "darwin" if system == "macos" else system
        architecture, variant = self.architecture.lower(), self.variant.lower()
        if architecture in _ARCHITECTURES:
            architecture, implied = _ARCHITECTURES[architecture]
            variant = variant if implied is None or (architecture == "arm" and variant) else implied
        if architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        elif (architecture == "arm64" and variant in {"8", "v8"}) or (architecture == "amd64" and variant == "v1"):
            variant = ""
        elif architecture == "arm64" and variant.isdecimal():
            variant = "v" + variant
        return replace(self, os=system, architecture=architecture, variant=variant)


def decode_platform(reader: Reader) -> Platform:
    """Read the `platform` of a descriptor; what is missing is ""."""
    return Platform(
        os=reader.optional_text("os") or "",
        architecture=reader.optional_text("architecture") or "",
        variant=reader.optional_text("variant") or "",
        os_version=reader.optional_text("os.version") or "",
        os_features=reader.texts("os.features"),
        extra=reader.others(_FIELDS),
    )


def parse_platform(text: str) -> Platform:
    """Read `os/arch[/variant]`, or `os` or `arch` alone, which the host completes; raises UsageError."""
    parts = text.strip().split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(f"{text!r} is no platform", hint="a platform looks like linux/amd64 or linux/arm/v7")
    if len(parts) >= 2:
        return Platform(os=parts[0], architecture=parts[1], variant="".join(parts[2:])).normalised()
    word = parts[0].lower()
    host = host_platform()
    if word in _KNOWN_SYSTEMS or word == "macos":
        return replace(host, os=word).normalised()
    if word in _KNOWN_ARCHITECTURES or word in _ARCHITECTURES:
        return Platform(os=host.os, architecture=word).normalised()
    raise UsageError(
        f"{text!r} is neither an operating system nor an architecture",
        hint="a platform looks like linux/amd64 or linux/arm/v7",
    )


def host_platform() -> Platform:
    """Give the platform of this machine."""
    machine = os.uname().machine
    return Platform(os="linux", architecture=machine, variant="v8" if machine == "armv8l" else "").normalised()


def _acceptable(wanted: Platform) -> tuple[Platform, ...]:
    """List what runs on `wanted`, best first: arm/v7 takes v6 and v5, arm64 takes 32-bit arm, amd64/v3 takes v2."""
    found = [wanted]
    number = int(wanted.variant[1:]) if re.fullmatch(r"v\d", wanted.variant) else 0
    if wanted.architecture == "arm":
        found += [replace(wanted, variant=f"v{n}") for n in range(number - 1, 4, -1)]
    elif wanted.architecture == "arm64":
        found += [replace(wanted, variant=f"v{n}" if n > 8 else "") for n in range(number - 1, 7, -1)]
        found += [replace(wanted, architecture="arm", variant=f"v{n}") for n in (8, 7, 6, 5)]
    elif wanted.architecture == "amd64":
        found += [replace(wanted, variant=f"v{n}" if n > 1 else "") for n in range(number - 1, 0, -1)]
        found.append(replace(wanted, architecture="386", variant=""))
    return tuple(found)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """Say how well `offered` serves `wanted`: 0 is exactly, greater is worse, None does not run."""
    wanted, offered = wanted.normalised(), offered.normalised()
    for place, acceptable in enumerate(_acceptable(wanted)):
        if (acceptable.os, acceptable.architecture, acceptable.variant) == (
            offered.os,
            offered.architecture,
            offered.variant,
        ):
            return place
    return None


def matches(wanted: Platform, offered: Platform) -> bool:
    """Tell whether `offered` is `wanted` under another name at most: same system, architecture and variant."""
    return rank(wanted, offered) == 0


def suits(wanted: Platform, offered: Platform) -> bool:
    """Tell whether `offered` runs on `wanted` as one of its own: same system and architecture, no later variant.

    One that names no system suits everything.
    """
    return not offered.os or (
        wanted.normalised().architecture == offered.normalised().architecture and rank(wanted, offered) is not None
    )


def best(wanted: Platform, offered: Sequence[Platform | None]) -> int | None:
    """Choose the index of what serves `wanted` best, the first of equals; None where nothing does."""
    choices = [
        (place, index)
        for index, platform in enumerate(offered)
        if platform is not None and (place := rank(wanted, platform)) is not None
    ]
    return min(choices)[1] if choices else None
