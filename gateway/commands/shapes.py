"""From a JSON value to a value of exactly the type and rank of a variable: arrays, matrices and structures.  Pure.

| data type | JSON |
| --- | --- |
| array, matrix | array, nested row by row |
| structure | object of its fields; optional fields may be left out, and of a union one is given |
| option set | array of the names of its bits, or the number |

They are built by the definitions that the server gives of its data types, and by nothing else.
"""

from collections.abc import Callable, Mapping, Sequence

from gateway.commands.outcome import Refused
from gateway.commands.values import number_or_text, scalar, wrong
from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.operations import FieldForm, Form, Forms
from gateway.values import Structure, Typed

STRUCTURE = 22
"""Id of the built-in type ExtensionObject."""
_UNION = 2
_SCALAR, _ANY_RANK, _SCALAR_OR_ARRAY, _ONE_OR_MORE = -1, -2, -3, 0
_NONE: Forms = {}


def typed(form: Form, rank: int, value: object, forms: Forms = _NONE, dimensions: Sequence[int] = ()) -> Typed:
    """A value for a variable of this data type, rank (Part 3, 8.6) and dimensions (0: any).  Raises `Refused`."""
    depth = _depth(form, rank, value)
    _check_rank(rank, depth)
    if not depth:
        return Typed(form.built_in, _one(form, value, forms))
    sizes = _sizes(value, depth)
    if any(want and want != have for want, have in zip(dimensions, sizes, strict=False)):
        raise Refused("rank", f"{' x '.join(map(str, sizes))} elements; expected {' x '.join(map(str, dimensions))}")
    return Typed(_flags(form.built_in, depth), _nested(value, depth, lambda each: _one(form, each, forms)))


def _flags(built_in: int, depth: int) -> int:
    return built_in | IS_ARRAY | (IS_MATRIX if depth > 1 else 0)


def _depth(form: Form, rank: int, value: object) -> int:
    """How many levels of lists are around one value; the names of an option set are one value."""
    depth = 0
    while isinstance(value, list):
        if form.options and all(isinstance(each, str) for each in value) and (value or depth or rank == _SCALAR):
            break
        depth += 1
        value = value[0] if value else None
    return depth


def _check_rank(rank: int, depth: int) -> None:
    if rank == _ANY_RANK or (rank == _SCALAR_OR_ARRAY and depth <= 1) or (rank == _ONE_OR_MORE and depth):
        return
    if depth != max(rank, 0) or rank in (_SCALAR_OR_ARRAY, _ONE_OR_MORE):
        one, array = "a scalar", "an array"
        wanted = {_SCALAR: one, 1: array, _ONE_OR_MORE: array, _SCALAR_OR_ARRAY: f"{one} or {array}"}
        given = {0: "a scalar", 1: "an array"}.get(depth, f"a matrix of {depth} dimensions")
        raise Refused("rank", f"{given}; expected {wanted.get(rank, f'a matrix of {rank} dimensions')}")


def _sizes(value: object, depth: int) -> list[int]:
    """The length in each dimension.  Raises `Refused` where rows differ."""
    sizes: list[int] = []
    rows: list[object] = [value]
    for _ in range(depth):
        lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
        if len(lengths) != 1 or lengths == {-1}:
            raise Refused("rank", "the rows of a matrix must have the same length")
        sizes.append(lengths.pop())
        rows = [each for row in rows if isinstance(row, list) for each in row]
        if not rows:
            return [*sizes, *[0] * (depth - len(sizes))]
    return sizes


def _nested(value: object, depth: int, one: Callable[[object], object]) -> list[object]:
    assert isinstance(value, list)
    return [_nested(each, depth - 1, one) if depth > 1 else one(each) for each in value]


def flat(value: object) -> list[object]:
    """All elements of an array or matrix; a scalar is one."""
    return [one for each in value for one in flat(each)] if isinstance(value, list) else [value]


# -- structures


def _one(form: Form, value: object, forms: Forms) -> object:
    return _structure(form, value, forms) if form.built_in == STRUCTURE else scalar(form, value)


def _structure(form: Form, value: object, forms: Forms) -> Structure:
    if not form.encoding:
        raise Refused("type_unsupported", "the server does not define this structure, so it cannot be written")
    if not isinstance(value, dict):
        raise wrong("an object with the fields of the structure", value)
    known = {field.name: field for field in form.fields}
    _check_names(form, value, known)
    fields = {name: _field(field, value[name], forms) for name, field in known.items() if name in value}
    return Structure(form.data_type, fields)


def _check_names(form: Form, value: Mapping[str, object], known: Mapping[str, FieldForm]) -> None:
    unknown = [name for name in value if name not in known]
    missing = [name for name, field in known.items() if name not in value and not field.is_optional]
    if form.kind == _UNION:
        missing = [] if len(value) == 1 else ["one of them"]
    for what, names in (("unknown", unknown), ("missing", missing)):
        if names:
            told = f"{what}: {', '.join(names)[:200]}; the structure has {', '.join(known)[:300]}"
            raise Refused("type", told)


def _field(field: FieldForm, value: object, forms: Forms) -> Typed:
    form = forms.get(field.data_type, Form(0))
    try:
        return typed(form, field.dimensions or _SCALAR, value, forms)
    except Refused as error:
        raise Refused(error.reason, f"{field.name}: {error}"[:500]) from error


def from_text(form: Form, value: object, forms: Forms = _NONE) -> object:
    """Numbers and booleans, where they came as text and the type has such; everything else as it is."""
    if isinstance(value, list):
        return [from_text(form, each, forms) for each in value]
    if isinstance(value, dict) and form.built_in == STRUCTURE:
        known = {field.name: forms.get(field.data_type, Form(0)) for field in form.fields}
        return {name: from_text(known.get(name, Form(0)), each, forms) for name, each in value.items()}
    return number_or_text(form.built_in, value)
