"""Give containers names: check those that users choose, make readable ones for the others."""

from __future__ import annotations

import re
from collections.abc import Callable

from runtime.errors import UsageError

_ALLOWED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

ADJECTIVES = tuple(
    "able agile amber ample azure balmy bold brave brief bright brisk calm candid careful cheerful chosen clear "
    "clever cosy crisp curious daring deft dusky eager early earnest easy elated fair famous fine firm fleet fluent "
    "fond frank fresh friendly gentle glad golden good grand green handy happy hardy hearty honest humble ideal "
    "jolly joyful keen kind large late lively lofty loyal lucid lucky mellow merry mild modest narrow neat nimble "
    "noble novel patient placid plain pleased polite proud prompt quick quiet rapid rare ready robust rosy royal "
    "sage serene sharp shiny silent silver simple sleek smart smooth snug sober solid sound spry stable steady "
    "still strong sunny sure swift tall tender thrifty tidy trim true upbeat vast vivid warm wary wise witty young "
    "zesty".split()
)
NOUNS = tuple(
    "acorn alder anchor arch ash aspen badger barley basalt bay beach beacon beaver beech birch bison brook canyon "
    "cedar chalk cliff clover comet coral cove crane creek crow dale delta dune eagle elm ember falcon fern finch "
    "fjord flint forest fox garnet geyser glacier glade granite grove gull harbor hare hawk hazel heath heron hill "
    "holly hornet island ivy jasper juniper kelp kestrel lagoon lake larch lark laurel lichen lily linden lynx "
    "maple marble marsh marten meadow mesa meteor mole moss moth myrtle nettle oak oasis olive opal orchid osprey "
    "otter owl palm peak pebble pine plover pond poplar prairie quartz quail raven reed reef ridge river robin "
    "rowan sage salmon sandbar seal shoal shore sparrow spring spruce starling stone stork stream summit swallow "
    "swan tern thistle thrush tide trout tulip tundra valley violet walnut warbler wave willow wren yarrow yew".split()
)


def check_name(name: str) -> str:
    """Return the name as it is stored, without a leading slash. Raises UsageError as Docker words it."""
    bare = name.removeprefix("/")
    if not _ALLOWED.fullmatch(bare):
        raise UsageError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="a name has two or more characters",
        )
    return bare


def random_name(token: Callable[[int], str], taken: Callable[[str], bool]) -> str:
    """Make a name of an adjective and a noun that is not `taken`; a digit is added where many are.

    `token(n)` gives n random hex digits.
    """
    attempt = 0
    while True:
        draw = int(token(12), 16)
        draw, adjective = divmod(draw, len(ADJECTIVES))
        draw, noun = divmod(draw, len(NOUNS))
        name = f"{ADJECTIVES[adjective]}_{NOUNS[noun]}"
        if attempt >= 5:
            name += str(draw % 10**attempt)
        if not taken(name):
            return name
        attempt += 1
