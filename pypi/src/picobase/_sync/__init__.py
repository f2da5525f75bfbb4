# Derived from _async/__init__.py by tools/derive.py. Change that one.
"""The blocking client. The blocking one in `_sync` is derived from this by `tools/derive.py`."""
