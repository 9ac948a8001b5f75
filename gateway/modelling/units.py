"""Units of measure by their code in UNECE Recommendation 20: the ones that plants use.

A unit that is not in the list keeps its code; formats that want more than a code define it themselves.  A server that
gives no code but a text, such as `°C`, means the first unit of the list with that symbol.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of measure."""

    code: str
    """UNECE Recommendation 20; empty: it has none that is known here."""
    symbol: str
    name: str
    samm: str = ""
    """Its name in the unit catalogue of SAMM; empty: not listed here."""

    @property
    def opcua_id(self) -> int:
        """UnitId of EUInformation (Part 8, 5.6.3): the characters of the code as a number."""
        return int.from_bytes(self.code.encode("ascii"), "big") if self.code else -1


_TABLE = """
    CEL|°C|degree Celsius|degreeCelsius
    KEL|K|kelvin|kelvin
    FAH|°F|degree Fahrenheit|degreeFahrenheit
    C16|mm/s|millimetre per second|millimetrePerSecond
    MTS|m/s|metre per second|metrePerSecond
    KMH|km/h|kilometre per hour|kilometrePerHour
    BAR|bar|bar|barUnitOfPressure
    MBR|mbar|millibar|millibar
    PAL|Pa|pascal|pascal
    KPA|kPa|kilopascal|kilopascal
    MPA|MPa|megapascal|megapascal
    A97|hPa|hectopascal|hectopascal
    AMP|A|ampere|ampere
    4K|mA|milliampere|milliampere
    B22|kA|kiloampere|kiloampere
    VLT|V|volt|volt
    2Z|mV|millivolt|millivolt
    KVT|kV|kilovolt|kilovolt
    WTT|W|watt|watt
    KWT|kW|kilowatt|kilowatt
    MAW|MW|megawatt|megawatt
    KVA|kV·A|kilovolt - ampere|kilovoltAmpere
    D46|V·A|volt - ampere|voltAmpere
    KVR|kvar|kilovar|kilovar
    KWH|kW·h|kilowatt hour|kilowattHour
    WHR|W·h|watt hour|wattHour
    MWH|MW·h|megawatt hour (1000 kW.h)|megawattHour1000Kwh
    JOU|J|joule|joule
    KJO|kJ|kilojoule|kilojoule
    3B|MJ|megajoule|megajoule
    GV|GJ|gigajoule|gigajoule
    RPM|r/min|revolutions per minute|revolutionsPerMinute
    C94|min⁻¹|reciprocal minute|reciprocalMinute
    HTZ|Hz|hertz|hertz
    KHZ|kHz|kilohertz|kilohertz
    MHZ|MHz|megahertz|megahertz
    P1|%|percent|percent
    59|ppm|part per million|partPerMillion
    61|ppb|part per billion (US)|partPerBillionUs
    MMT|mm|millimetre|millimetre
    CMT|cm|centimetre|centimetre
    MTR|m|metre|metre
    KMT|km|kilometre|kilometre
    4H|µm|micrometre|micrometreMicron
    C45|nm|nanometre|nanometre
    DMT|dm|decimetre|decimetre
    INH|in|inch|inch
    FOT|ft|foot|foot
    NEW|N|newton|newton
    B47|kN|kilonewton|kilonewton
    NU|N·m|newton metre|newtonMetre
    D83|mN·m|millinewton metre|millinewtonMetre
    KGM|kg|kilogram|kilogram
    GRM|g|gram|gram
    TNE|t|tonne (metric ton)|tonneMetricTon
    MGM|mg|milligram|milligram
    LBR|lb|pound|pound
    SEC|s|second|secondUnitOfTime
    MIN|min|minute|minuteUnitOfTime
    HUR|h|hour|hour
    DAY|d|day|day
    WEE|wk|week|week
    MON|mo|month|month
    ANN|y|year|year
    C26|ms|millisecond|millisecond
    B98|µs|microsecond|microsecond
    L2|l/min|litre per minute|litrePerMinute
    E32|l/h|litre per hour|litrePerHour
    LTR|l|litre|litre
    MLT|ml|millilitre|millilitre
    MTQ|m³|cubic metre|cubicMetre
    MQH|m³/h|cubic metre per hour|cubicMetrePerHour
    MQS|m³/s|cubic metre per second|cubicMetrePerSecond
    G52|m³/d|cubic metre per day|cubicMetrePerDay
    KGS|kg/s|kilogram per second|kilogramPerSecond
    E93|kg/h|kilogram per hour|kilogramPerHour
    2N|dB|decibel|decibel
    C62|1|one|one
    H87|piece|piece|piece
    EA|each|each|each
    DD|°|degree|degreeUnitOfAngle
    C81|rad|radian|radian
    OHM|Ω|ohm|ohm
    B49|kΩ|kiloohm|kiloohm
    FAR|F|farad|farad
    4O|µF|microfarad|microfarad
    4T|pF|picofarad|picofarad
    SIE|S|siemens|siemens
    D10|S/m|siemens per metre|siemensPerMetre
    B99|µS|microsiemens|microsiemens
    LUX|lx|lux|lux
    CDL|cd|candela|candela
    LUM|lm|lumen|lumen
    KMK|km²|square kilometre|squareKilometre
    CMK|cm²|square centimetre|squareCentimetre
    MTK|m²|square metre|squareMetre
    MMK|mm²|square millimetre|squareMillimetre
    KMQ|kg/m³|kilogram per cubic metre|kilogramPerCubicMetre
    GL|g/l|gram per litre|gramPerLitre
    GP|mg/m³|milligram per cubic metre|milligramPerCubicMetre
    M1|mg/l|milligram per litre|milligramPerLitre
    23|g/cm³|gram per cubic centimetre|gramPerCubicCentimetre
    28|kg/m²|kilogram per square metre|kilogramPerSquareMetre
    MSK|m/s²|metre per second squared|metrePerSecondSquared
    D33|T|tesla|tesla
    D54|W/m²|watt per square metre|wattPerSquareMetre
    C65|Pa·s|pascal second|pascalSecond
    4P|N/m|newton per metre|newtonPerMetre
    E34|GB|Gigabyte|gigabyte
    4L|MB|Megabyte|megabyte
    AD|B|byte|byte
    E20|Mbit/s|megabit per second|megabitPerSecond
    C36|mol/m³|mole per cubic metre|molePerCubicMetre
    C38|mol/l|mole per litre|molePerLitre
    B32|kg·m²|kilogram metre squared|kilogramMetreSquared
    PS|lbf/in²|pound-force per square inch|poundForcePerSquareInch
    GLL|gal (US)|gallon (US)|gallonUs
    G2|gal (US) /min|US gallon per minute|usGallonPerMinute
    BQL|Bq|becquerel|becquerel
"""
_SAME = {"l": "L", "l/min": "L/min", "ml": "mL", "l/h": "L/h", "kW·h": "kWh", "W·h": "Wh", "MW·h": "MWh",
         "N·m": "Nm", "r/min": "rpm", "V·A": "VA", "kV·A": "kVA", "µm": "μm", "µs": "μs", "µS": "μS", "min⁻¹": "1/min",
         "m/s²": "m/s2", "m³": "m3", "m³/h": "m3/h", "m²": "m2", "°C": "degC"}  # fmt: skip
"""Other ways to write a symbol."""


@cache
def _by_code() -> dict[str, Unit]:
    rows = (line.strip().split("|") for line in _TABLE.strip().splitlines())
    return {code: Unit(code, symbol, name, samm) for code, symbol, name, samm in rows}


@cache
def _by_symbol() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for unit in _by_code().values():
        for text in (unit.symbol, _SAME.get(unit.symbol, unit.symbol), unit.name):
            found.setdefault(text, unit)
    return found


def unit_of(code: str, text: str | None) -> Unit | None:
    """The unit with this code, or this symbol or name; with a code that is not listed it has that and the text.

    None: there is no unit, or nobody knows its code.
    """
    if code:
        return _by_code().get(code) or Unit(code, text or code, text or code)
    return _by_symbol().get((text or "").strip()) if text else None
