"""Properties of thing models as variables: identifiers of a model are letters, digits and `_`, names of variables not.

`Press1/Speed` is asked for as `Press1_Speed`, or with the source in front, `press_shop_Press1_Speed`: the form that the
formats `thing-model` and `iotda` give to names.  An identifier only chooses among the names that rules have.
"""

from collections.abc import Mapping

from gateway.commands.codec import Heard, Wish
from gateway.commands.outcome import Refused
from gateway.commands.request import request_in
from gateway.payload.thing_model import property_of


def write_of(heard: Heard, params: Mapping[str, object], own_id: str, source: str = "") -> Wish:
    """One write of all these properties, all or none.  Raises `Refused`."""
    found = [_located(heard, each, source) for each in params]
    sources = {where for where, _ in found}
    if len(sources) != 1:
        raise Refused("invalid", "properties of one source at once" if found else "no properties")
    writes = [{"tag": name, "value": value} for (_, name), value in zip(found, params.values(), strict=True)]
    request = request_in({"operation": "write", "id": own_id, "writes": writes})
    return Wish(next(iter(sources)), request, None, own_id)


def _located(heard: Heard, identifier: str, source: str) -> tuple[str, str]:
    known = heard.known()
    named = {name: names for name, names in known.items() if not source or name == source}
    found = {
        (where, name)
        for where, names in named.items()
        for name in names
        if identifier in (name, property_of(name), property_of(f"{where}_{name}"))
    }
    if len(found) > 1:
        raise Refused("ambiguous", f"{identifier[:100]!r} is the property of {len(found)} variables")
    if not found:
        raise Refused("not_allowed", f"no rule names a variable with the property {identifier[:100]!r}")
    return next(iter(found))
