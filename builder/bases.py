"""Find the images that a build starts from or copies from: in the store, made on the spot, or pulled.

All that a graph names are looked for first, so that those which have to come from a registry come at once.
`pybuild.lock` says what a name was: with `--locked` it is that, otherwise a difference is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.failures import located
from builder.interfaces import BaseImage, Result
from builder.keys import base_content
from frozen import Frozen, replace
from runtime.containers.images import find_image, look_up, written_out
from runtime.errors import Cancelled, NotFound, PybuildError, ReferenceInvalid, RegistryError
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference

if TYPE_CHECKING:
    from builder.interfaces import BuildContext
    from builder.lock import Lock, Pin
    from builder.reporter import Reporter
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.registry.session import Session
    from runtime.store.facade import Store
    from runtime.store.images import Image


class Wanted(Frozen):
    """An image that an instruction names: for which platform, in which line, what was perhaps meant (`the stage x`)."""

    name: str
    platform: str
    line: int
    suggestion: str | None = None


class Bases:
    """The images of one build, each looked for once; for the thread that plans.

    `policy` is that of `--pull`. `lock` is what `pybuild.lock` says, None where there is none; with `locked` it is law.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        *,
        policy: str = "missing",
        lock: Lock | None = None,
        locked: bool = False,
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._policy = policy
        self._lock = lock
        self._locked = locked
        self._session: Session | None = None
        self._images: dict[tuple[str, str], Image] = {}
        self._bases: dict[tuple[str, str], BaseImage] = {}

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Pull all at once that has to be pulled; where it is one image alone, that is left to `find`.

        Raises what `find` would.
        """
        unique = {_key(item): item for item in reversed(wanted)}
        missing = [item for item in unique.values() if self._has_to_be_asked_for(item)]
        if len(missing) < 2:
            return
        from functools import partial

        from runtime.registry.session import Session  # lazy: 100 ms of HTTP

        with Session.open(self._store.context) as session:
            self._session = session
            try:
                for item, image in zip(
                    missing, session.together([partial(self._image, item) for item in missing]), strict=True
                ):
                    self._images[_key(item)] = image
            finally:
                self._session = None

    def find(self, wanted: Wanted) -> BaseImage:
        """Return the image that a name means. Raises InstructionFailed, with the line, where there is none."""
        key = _key(wanted)
        if key not in self._bases:
            image = self._images.get(key) or self._image(wanted)
            self._tell_drift(wanted, image)
            with located(wanted.line):
                chain = self._store.images.unpacked(image)
            self._bases[key] = BaseImage(
                name=wanted.name,
                id=image.id,
                document=image.config.raw,
                result=Result(chain=chain, content=base_content(chain)),
            )
        return self._bases[key]

    def adopt(self, wanted: Wanted, image: Image) -> None:
        """Have an image that is here already stand for a name."""
        self._images[_key(wanted)] = image

    def of_tree(self, name: str, tree: BuildContext, platform: str) -> BaseImage:
        """Make an image of the files of a named context."""
        from builder.treebase import base_of_tree  # lazy: only for FROM of a named context

        key = (f"context {name}", platform)
        if key not in self._bases:
            self._bases[key] = base_of_tree(self._store, name, tree, platform)
        return self._bases[key]

    def _has_to_be_asked_for(self, wanted: Wanted) -> bool:
        if _key(wanted) in self._images:
            return False
        if self._policy in ("always", "newer") and not self._locked:
            return True
        try:
            return look_up(self._store, self._meant(wanted.name)) is None
        except Cancelled:
            raise
        except PybuildError:
            return False  # `find` will say so

    def _meant(self, name: str) -> str:
        """Give what to look for: the name, or with `--locked` what is pinned."""
        if not self._locked:
            return written_out(name)
        if self._lock is None:
            raise PybuildError(
                "--locked needs a pybuild.lock, and the build context has none", hint="run `pybuild lock`"
            )
        return self._lock.pinned_name(name)

    def _image(self, wanted: Wanted) -> Image:
        """Find or pull; used by several threads at once."""
        with located(wanted.line):
            platform = parse_platform(wanted.platform)
            meant = self._meant(wanted.name)
            policy = "missing" if self._locked and self._policy != "never" else self._policy  # pins are not asked for
            try:
                return find_image(self._store, meant, self._fetch, policy=policy, platform=platform)
            except (NotFound, RegistryError) as error:
                raise self._failed(wanted, error) from error

    def _failed(self, wanted: Wanted, error: PybuildError) -> NotFound:
        """Word why an image cannot be had."""
        if look_up(self._store, written_out(wanted.name)) is not None:
            return NotFound(f"{wanted.name}: {error.message}", hint=error.hint)
        hint = "; ".join(part for part in (self._perhaps(wanted), error.hint) if part)
        said = f"No such image: {wanted.name}"
        return NotFound(
            said if error.message.startswith("No such image") else f"{said}: {error.message}", hint=hint or None
        )

    def _perhaps(self, wanted: Wanted) -> str | None:
        """Ask for what was perhaps meant: a stage, a context, or an image that is here."""
        if wanted.suggestion:
            return f"did you mean {wanted.suggestion}?"
        from runtime.store.images import nearest  # loaded already: the store was asked

        near = nearest(wanted.name, (str(name) for image in self._store.images.list() for name in image.names))
        return f"did you mean {near}?" if near else None

    def _fetch(self, reference: Reference, platform: Platform | None, /, *, named: bool) -> Image:
        context = self._store.context
        if context.offline:
            raise RegistryError("nothing connects with --offline", hint="pull or load the image before")
        if self._session is not None:
            return self._pull(self._session, reference, platform, named)
        from runtime.registry.session import Session  # lazy: 100 ms of HTTP

        with Session.open(context) as session:
            return self._pull(session, reference, platform, named)

    def _pull(self, session: Session, reference: Reference, platform: Platform | None, named: bool) -> Image:
        from builder.pulling import PullProgress
        from runtime.registry.pull import pull

        with self._reporter.working(f"[internal] load metadata for {reference.tagged()}") as vertex:
            progress = PullProgress(vertex, self._store.context.now)
            pulled = pull(self._store, reference, session, platform=platform, named=named, progress=progress)
            vertex.status(f"{reference.name}@{pulled.digest}", done=True)
        return pulled.image

    def _tell_drift(self, wanted: Wanted, image: Image) -> None:
        """Warn where a name, without `--locked`, is not what it was pinned to."""
        if self._lock is None or self._locked:
            return
        from builder.lock import FILE, reference_of

        reference = reference_of(wanted.name)
        pin = self._lock.pin(reference) if reference is not None and reference.digest is None else None
        if reference is None or pin is None or pin.holds(reference, image) or self._is_part_of(pin, wanted, image):
            return
        now = next((str(item.digest) for item in image.digests if item.name == reference.name), str(image.id))
        self._reporter.warn(f"{wanted.name} is {now}, and {FILE} pins {pin}: --locked builds with that", wanted.line)

    def _is_part_of(self, pin: Pin, wanted: Wanted, image: Image) -> bool:
        """Tell whether an image is the one for its platform of the index that is pinned."""
        from runtime.registry.memory import Memory  # only where the two have different digests

        if pin.digest is None:
            return False
        by_digest = replace(parse_reference(wanted.name), tag=None, digest=pin.digest)
        known = Memory(self._store).for_platform(by_digest, parse_platform(wanted.platform))
        return known is not None and known.id == image.id


def _key(wanted: Wanted) -> tuple[str, str]:
    """Give what an image is looked for once under: `app` and `docker.io/library/app:latest` are one."""
    try:
        return str(parse_reference(wanted.name).tagged()), wanted.platform
    except ReferenceInvalid:
        return wanted.name, wanted.platform
