"""PackML's counters and times of a unit (OPC 30050, 6.3.4), and what an operator asks of it: mode, product, parameters.

Times are whole seconds, by mode and by state, as PackTags count them: an array over the modes, a matrix over modes and
states.  A mode other than Production is accepted while the unit stands (Stopped, Idle, Aborted), and no unit starts in
it.  Product and parameters are shown as they were asked for; which products a line makes is a matter of its orders.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asyncua import ua

from simulators.flow.packml_unit import PackMLUnit
from simulators.server.machines import unit_information
from simulators.server.models import Models
from simulators.server.nodes import StatusCodes, status
from simulators.server.space import Space, Variable
from simulators.server.structures import Field, Structure, add_encoding
from simulators.signals import UNITS
from simulators.states import Pack, PackMode

INT, TEXT, STRUCT = ua.VariantType.Int32, ua.VariantType.String, ua.VariantType.ExtensionObject
ENCODINGS = {"count": 69, "descriptor": 77, "ingredients": 79, "product": 81}
TYPES = {"count": 14, "descriptor": 16, "ingredients": 17, "product": 18}
OPTIONAL = (
    "Admin/ProdProcessedCount", "Admin/ProdDefectiveCount", "Admin/ModeCurrentTime", "Admin/ModeCumulativeTime",
    "Admin/StateCurrentTime", "Admin/StateCumulativeTime", "Status/Product", "Status/Parameter",
)  # fmt: skip
STANDING = (Pack.STOPPED, Pack.IDLE, Pack.ABORTED)
Write = Callable[[Variable, object, float, int], None]


def blank() -> dict[str, object]:
    """The first values of what has a shape."""
    row = [0] * len(PackMode)
    return {
        "Admin/ModeCurrentTime": row, "Admin/ModeCumulativeTime": row,
        "Admin/StateCurrentTime": [[0] * len(Pack) for _ in PackMode],
        "Admin/StateCumulativeTime": [[0] * len(Pack) for _ in PackMode],
    }  # fmt: skip


class PackMLTypes:
    """The structures of PackML on one server, with their definitions."""

    def __init__(self, space: Space, models: Models) -> None:
        def ids(name: str) -> tuple[ua.NodeId, ua.NodeId]:
            return models.id(("p", TYPES[name])), models.id(("p", ENCODINGS[name]))

        unit_type = ua.NodeId(ua.Int32(ua.ObjectIds.EUInformation))
        unit = Field("Unit", STRUCT, data_type=unit_type)
        descriptor, ingredients = ids("descriptor")[0], ids("ingredients")
        space.add_type(
            ingredients[0], models.name("p", "PackMLIngredientsDataType"),
            ua.NodeId(ua.Int32(ua.ObjectIds.Structure)), ua.NodeClass.DataType, False,
        )  # fmt: skip
        named = (Field("ID", INT), Field("Name", TEXT), unit)
        self.count = add_encoding(space, *ids("count"), (*named, Field("Count", INT), Field("AccCount", INT)))
        self.descriptor = add_encoding(space, *ids("descriptor"), (*named, Field("Value", ua.VariantType.Float)))
        inner = Field("Parameter", STRUCT, 1, descriptor)
        add_encoding(space, *ingredients, (Field("IngredientID", INT), inner))
        self.product = add_encoding(
            space, *ids("product"),
            (
                Field("ProductID", INT), Field("ProcessVariables", STRUCT, 1, descriptor),
                Field("Ingredients", STRUCT, 1, ingredients[0]),
            ),
        )  # fmt: skip
        self.accepts: Mapping[str, Structure] = {"SetProduct": self.product, "SetParameter": self.descriptor}


@dataclass(slots=True)
class PackMLAdmin:
    """The counters, times and wishes of one unit."""

    unit: PackMLUnit
    types: PackMLTypes
    variables: Mapping[str, Variable]
    asked: PackMode = PackMode.PRODUCTION

    @property
    def may_start(self) -> bool:
        return self.asked is PackMode.PRODUCTION

    def mode_of(self, shown: PackMode) -> PackMode:
        """The mode that clients see."""
        return shown if self.asked is PackMode.PRODUCTION else self.asked

    def set_mode(self, number: object) -> ua.StatusCode:
        """Ask for a mode."""
        if not isinstance(number, int) or number not in [mode.value for mode in PackMode if mode]:
            return status(StatusCodes.BadOutOfRange)
        if self.unit.state not in STANDING and number != self.unit.mode:
            return status(StatusCodes.BadInvalidState)
        self.asked = PackMode(number)
        return status(0)

    def take(self, method: str, given: object, write: Write, now_s: float) -> ua.StatusCode:
        """Show a product or parameters that were asked for."""
        wanted = self.types.accepts[method].encoding_id
        if not isinstance(given, list) or not all(_is_a(each, wanted) for each in given):
            return status(StatusCodes.BadTypeMismatch)
        write(self.variables[f"Status/{method.removeprefix('Set')}"], given, now_s, 0)
        return status(0)

    def show(self, write: Write, now_s: float) -> None:
        """Write counters and times as they are now."""
        machine, spent = self.unit.machine, self.unit.cumulative_s(now_s)
        matrix = [[int(spent.get((mode, state), 0.0)) for state in Pack] for mode in PackMode]
        mode, state_s = self.unit.mode, int(self.unit.state_s(now_s))
        current = [[0] * len(Pack) for _ in PackMode]
        current[mode][self.unit.state] = state_s
        defective = machine.scrap + machine.rework
        times = {
            "StateCumulativeTime": matrix, "StateCurrentTime": current,
            "ModeCumulativeTime": [int(sum(s for (m, _), s in spent.items() if m is mode)) for mode in PackMode],
            "ModeCurrentTime": [state_s if each is mode else 0 for each in PackMode],
            "AccTimeSinceReset": int(sum(spent.values())),
            "ProdProcessedCount": [self._count(machine.good + defective)],
            "ProdDefectiveCount": [self._count(defective)],
        }  # fmt: skip
        for name, content in times.items():
            write(self.variables[f"Admin/{name}"], content, now_s, 0)

    def _count(self, count: int) -> ua.ExtensionObject:
        return self.types.count.value(
            ID=0, Name=self.unit.machine.product, Unit=unit_information(UNITS["1"]), Count=count, AccCount=count
        )


def _is_a(value: object, encoding_id: ua.NodeId) -> bool:
    return isinstance(value, ua.ExtensionObject) and value.TypeId == encoding_id and len(value.Body or b"") >= 4
