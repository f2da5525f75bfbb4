"""Prints those of the given symbols that the installed package does not have.

A symbol is a path, such as `picobase.Collection.get_list`, perhaps with a parameter: `picobase.Client(timeout)`.
"""

import importlib
import inspect
import sys


def is_there(symbol: str) -> bool:
    path, _, parameter = symbol.partition("(")
    root, *names = path.split(".")
    found = importlib.import_module(root)
    for name in names:
        # A field without a default is in objects only.
        in_objects = name in getattr(found, "__annotations__", ())
        if name.startswith("_") or not (in_objects or hasattr(found, name)):
            return False
        found = getattr(found, name, None)
    return not parameter or parameter.removesuffix(")") in inspect.signature(found).parameters


print(*(symbol for symbol in sys.argv[1:] if not is_there(symbol)), sep="\n")
