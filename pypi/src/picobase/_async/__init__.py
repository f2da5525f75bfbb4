"""The client for asyncio. The blocking one in `_sync` is derived from this by `tools/derive.py`."""
