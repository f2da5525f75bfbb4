"""Prints those of the given symbols, such as `picobase.Collection.get_list`, that the installed package does not have."""

import importlib
import sys


def is_there(symbol: str) -> bool:
    root, *names = symbol.split(".")
    found = importlib.import_module(root)
    for name in names:
        # A field without a default is in objects only.
        in_objects = name in getattr(found, "__dataclass_fields__", ())
        if name.startswith("_") or not (in_objects or hasattr(found, name)):
            return False
        found = getattr(found, name, None)
    return True


print(*(symbol for symbol in sys.argv[1:] if not is_there(symbol)), sep="\n")
