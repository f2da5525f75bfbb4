"""Every endpoint of the core's table is called by a method of both clients, on a server of the test's own."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from pathlib import Path
from typing import Any

from picobase import CallReport, File
from support.world import World, failure, unique, until

SOURCE = Path(__file__).parents[2] / "sdk-core/src/endpoints.rs"
ROW = re.compile(r'^ {4}\d+ \w+ "([\w.]+)" (\w+) "(/api/[^"]+)"', re.MULTILINE)

#: Method and path of each row, by its name.
TABLE: dict[str, tuple[str, str]] = {name: (method.upper(), path) for name, method, path in ROW.findall(SOURCE.read_text())}


def row_of(method: str, path: str) -> str | None:
    """The row that a request belongs to: where several fit, the one that says most of the path itself."""
    fits = [name for name, row in TABLE.items() if row[0] == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", row[1]), path)]
    return min(fits, key=lambda name: TABLE[name][1].count("{"), default=None)


async def call_collections(root: Any) -> None:
    every = root.collections
    thing = {"name": "things", "type": "base", "listRule": "", "fields": [{"type": "text", "name": "title"}]}
    made = await every.create(thing)
    assert (await every.get_one("things"))["id"] == made["id"]
    assert (await every.update("things", {"listRule": None}))["listRule"] is None
    await root.collection("things").create({"title": "a"})
    await every.truncate("things")
    assert (await root.collection("things").get_list()).total_items == 0
    rest = [one for one in await every.get_full_list() if one["name"] != "things"]
    # What is not in the import is deleted.
    await every.import_([*rest, {**thing, "name": "imported"}], delete_missing=True)
    await failure(every.get_one("things"), "NotFound")
    await every.delete("imported")
    assert (await every.get_list(1, 1)).total_items == len(rest)
    assert (await every.get_scaffolds())["auth"]["passwordAuth"]["enabled"] is True
    assert await every.get_oauth2_providers()
    assert (await every.dry_run_view("SELECT id FROM posts"))["fields"]


async def call_settings_and_logs(world: World, root: Any) -> None:
    assert (await root.settings.update({"meta": {"appName": "Renamed"}}))["meta"]["appName"] == "Renamed"
    assert (await root.settings.get_all())["meta"]["appName"] == "Renamed"
    to = unique("test") + "@example.com"
    await root.settings.test_email("users", to, "verification")
    assert world.kit.mail(to)["html"]
    await failure(root.settings.test_s3("storage"), "Validation")
    await failure(root.settings.generate_apple_client_secret("a", "b", "c", "none", 60), "Validation")
    # The server writes its logs a few seconds later.
    [entry] = await until(lambda: root.logs.get_list(1, 1))
    assert (await root.logs.get_one(entry["id"]))["message"] == entry["message"]
    assert sum(hour["total"] for hour in await root.logs.get_stats()) > 0
    await root.logs.delete_all()


async def call_backups_crons_and_sql(root: Any) -> None:
    backups = root.backups
    await backups.create("one.zip", timeout=60)
    data = await backups.download("one.zip")
    await backups.upload(File(data, filename="two.zip"))
    assert {(one["key"], one["size"]) for one in await backups.get_full_list()} == {(f"{n}.zip", len(data)) for n in ("one", "two")}
    await backups.delete("one.zip")
    await failure(backups.restore("one.zip"), "Validation")
    jobs = await root.crons.get_full_list()
    await root.crons.run(jobs[0]["id"])
    assert (await root.sql.run("SELECT 1 AS one"))["rows"] == [["1"]]
    assert (await root.health())["code"] == 200


async def call_records_and_realtime(client: Any) -> None:
    posts = client.collection("posts")
    made = await posts.create({"title": "one", "attachments": File(b"text", filename="a.txt")})
    assert await client.files.download(made, made["attachments"][0]) == b"text"
    subscription = await posts.subscribe("*")
    await posts.update(made["id"], {"n": 1})
    assert (await subscription.next(timeout=30)).record["n"] == 1
    subscription.unsubscribe()
    assert (await posts.get_one(made["id"]))["n"] == 1
    await posts.delete(made["id"])
    batch = client.batch()
    batch.collection("posts").create({"title": "two"})
    [created] = await batch.send()
    assert [post["id"] for post in await posts.get_list()] == [created.body["id"]]


async def call_auth(world: World, client: Any, root: Any) -> None:
    def address() -> str:
        return unique("auth") + "@example.com"

    auth, mail, email, changed = client.auth, world.kit.mail, address(), address()
    session = await auth.sign_up(email, world.kit.password)
    await auth.refresh()
    assert await client.files.get_token()
    assert (await auth.methods())["password"]["enabled"] is True
    await auth.request_verification(email)
    await auth.confirm_verification(mail(email, "Verify")["token"])
    assert auth.session.record["verified"] is True
    await auth.request_email_change(changed)
    await auth.confirm_email_change(mail(changed)["token"], world.kit.password)
    await auth.request_password_reset(changed)
    await auth.confirm_password_reset(mail(changed, "password")["token"], "another-password")
    assert (await auth.sign_in(changed, "another-password")).user_id == session.user_id
    await auth.sign_out()
    other = await root.collection("users").auth.impersonate(session.user_id, 60)
    assert other.auth.session.user_id == session.user_id

    secured, careful = client.collection("secured").auth, address()
    password = {"password": world.kit.password, "passwordConfirm": world.kit.password}
    await root.collection("secured").create({"email": careful, "verified": True, **password})
    mfa_id = (await failure(secured.sign_in(careful, world.kit.password), "MfaRequired")).mfa_id
    otp = await secured.request_otp(careful)
    assert (await secured.sign_in_with_otp(otp.otp_id, mail(careful)["otp"], mfa_id=mfa_id)).record["email"] == careful
    await auth.sign_out()

    def visit(url: str) -> None:
        urllib.request.urlopen(f"{url}&login_hint={address()}", timeout=30).close()

    def browse(url: str) -> None:
        threading.Thread(target=visit, args=(url,)).start()

    assert (await auth.sign_in_with_oauth2("oidc", browse)).meta["isNew"] is True


async def test_none_is_left_out(world: World) -> None:
    assert len(TABLE) > 45
    server, reports = world.server(), list[CallReport]()
    client = world.client(server.url, after_call=reports.append)
    root = client.with_session(world.kit.superuser_token())
    await call_collections(root)
    await call_settings_and_logs(world, root)
    await call_backups_crons_and_sql(root)
    await call_records_and_realtime(client)
    await call_auth(world, client, root)
    # The server has seen all of them, and a hook is told of each by the name in the table.
    seen = {row_of(request["method"], request["path"]) for request in await asyncio.to_thread(server.proxy.requests, "/api/")}
    assert TABLE.keys() - seen == set()
    told = {report.endpoint: (report.method, report.template) for report in reports}
    assert told == TABLE
