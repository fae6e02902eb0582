"""Find the image of a new container, pulled with progress if it has to be."""

from __future__ import annotations

from runtime.containers.images import find_image
from runtime.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.arguments import Arguments
    from runtime.context import Context
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.store import Store
    from runtime.store.images import Image


def find_named_image(args: Arguments, context: Context, store: Store, policy: str) -> Image:
    """Return the image that the first word names, under `--platform` and `--quiet`; `policy` is that of `--pull`."""
    text = args.text("platform")
    platform = None
    if text is not None:
        from runtime.oci.platforms import parse_platform  # lazy: only where asked for

        platform = parse_platform(text)

    def fetch(reference: Reference, wanted: Platform | None, /, *, named: bool) -> Image:
        return _fetch(context, store, reference, wanted, named=named, quiet=args.switch("quiet"), told=policy)

    return find_image(store, args.words[0], fetch, policy=policy, platform=platform)


def _fetch(
    context: Context,
    store: Store,
    reference: Reference,
    platform: Platform | None,
    *,
    named: bool,
    quiet: bool,
    told: str,
) -> Image:
    """Pull one image and say what Docker says, all of it as messages."""
    from runtime.cli.transfers import open_progress  # lazy: 100 ms of HTTP, only where something is missing
    from runtime.registry.pull import pull
    from runtime.registry.session import Session

    name = reference.tagged().familiar()
    if context.offline and store.images.resolve(str(reference)) is None:
        from runtime.store.images import nearest

        near = nearest(name, (str(known) for image in store.images.list() for known in image.names))
        what = f"did you mean {near}?" if near else "`pybuild images` lists what there is"
        raise NotFound(f"Unable to find image '{name}' locally", hint=f"nothing is fetched offline; {what}")
    if told == "missing":
        context.stderr.write(f"Unable to find image '{name}' locally\n")
        context.stderr.flush()
    with Session.open(context) as session, open_progress(context, quiet=quiet) as progress:
        pulled = pull(store, reference, session, platform=platform, named=named, progress=progress)
    if not quiet:
        what = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
        context.stderr.write(f"Digest: {pulled.digest}\nStatus: {what} {name}\n")
        context.stderr.flush()
    return pulled.image
