"""What a short program does: import a library, get one record, end.  python start.py SIDE URL ID"""

import sys

name, url, id = sys.argv[1:]
if name == "picobase":
    from picobase import Client

    record = Client(url).collection("bulk").get_one(id)
elif name == "httpx":
    import httpx

    record = httpx.get(f"{url}/api/collections/bulk/records/{id}").json()
elif name == "pocketbase":
    from pocketbase import PocketBase

    record = PocketBase(url).collection("bulk").get_one(id).__dict__
else:
    record = {"id": id}
assert record["id"] == id
