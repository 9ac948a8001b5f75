"""asyncua without its server, which its package imports beside the client and which the gateway does not use.

Importing this module imports asyncua.  What stands for its server is there meanwhile; whoever asks for it later gets
the real one.
"""

import sys
from importlib import import_module
from types import ModuleType

_SERVER = "asyncua.server"


def _import() -> None:
    """Unless somebody has done so: 30 modules and 2 MiB less."""
    if "asyncua" in sys.modules or _SERVER in sys.modules:
        return
    stand_in = ModuleType(_SERVER)
    setattr(stand_in, "Server", None)  # noqa: B010 - what asyncua takes from it
    sys.modules[_SERVER] = stand_in
    try:
        asyncua = import_module("asyncua")
    finally:
        del sys.modules[_SERVER]
    for name in ("Server", "server"):
        vars(asyncua).pop(name, None)
    setattr(asyncua, "__getattr__", _real)  # noqa: B010 - asked for what a module does not have (PEP 562)


def _real(name: str) -> object:
    if name == "Server":
        return import_module(_SERVER).Server
    raise AttributeError(f"module 'asyncua' has no attribute {name!r}")


_import()
