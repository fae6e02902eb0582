"""Name every way in which pybuild can fail; only the command line turns one into an exit status.

PybuildError
├── UsageError            wrong words on a command line
├── NotFound              an image, container, network, volume or object that does not exist
├── Conflict              a name that is taken, a thing that is in use
├── StoreError            the state below --root
│   ├── BlobMissing
│   ├── DigestMismatch    content is not what its digest says
│   └── LayerError        a layer tar that cannot be applied
├── DocumentError         a JSON document with a wrong field
├── ReferenceInvalid      an image name that cannot be read
├── RegistryError
│   └── RegistryMissing   a repository or manifest that a registry has not, or does not show; a NotFound, too
├── NetworkError
├── SandboxError          a sandbox that could not be made
├── StepFailed            a RUN that ended with another status than 0
└── Cancelled             the user interrupted
"""

from __future__ import annotations


class PybuildError(Exception):
    """The root of all: `message` names the thing and what was being done, `hint` what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PybuildError):
    """Wrong words on the command line."""


class NotFound(PybuildError):
    """The named thing does not exist."""


class Conflict(PybuildError):
    """The name is taken or the thing is in use."""


class StoreError(PybuildError):
    """The state below `--root` cannot be used, or cannot do what was asked."""


class BlobMissing(StoreError):
    """A blob that a document refers to is not in the store."""

    def __init__(self, digest: str, *, hint: str | None = None) -> None:
        super().__init__(f"blob {digest} is not in the store", hint=hint)
        self.digest = digest


class DigestMismatch(StoreError):
    """Content does not have the digest (or size) that it was said to have."""

    def __init__(self, what: str, *, expected: str, actual: str, hint: str | None = None) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}", hint=hint)
        self.expected = expected
        self.actual = actual


class LayerError(StoreError):
    """A layer tar that cannot be applied; `entry` is the name of the member at fault."""

    def __init__(self, message: str, *, entry: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.entry = entry


class DocumentError(PybuildError):
    """A JSON document whose shape is wrong; `field` is the path to the value, as `config.Env[2]`."""

    def __init__(self, message: str, *, field: str = "", hint: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message, hint=hint)
        self.field = field


class ReferenceInvalid(PybuildError):
    """An image name that does not follow the reference grammar."""


class RegistryError(PybuildError):
    """A registry answered with an error; `status` is HTTP's, `code` the distribution specification's."""

    def __init__(self, message: str, *, status: int = 0, code: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class RegistryMissing(RegistryError, NotFound):
    """A registry has no such repository or manifest, or does not show it to this user."""


class NetworkError(PybuildError):
    """A link, address, rule or rootless network helper that could not be had."""


class SandboxError(PybuildError):
    """A sandbox that could not be set up: `step` is what was being done, `errno` the kernel's answer."""

    def __init__(self, message: str, *, step: str = "", errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno


class StepFailed(PybuildError):
    """A build step whose command ended with `exit_code`."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class Cancelled(PybuildError):
    """The user interrupted; `signal` is the number that did it."""

    def __init__(self, signal: int = 2) -> None:
        super().__init__("interrupted")
        self.signal = signal
