"""What superusers may do, each method once."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from picobase import File
from support.world import World, failure, unique, until


async def test_collections(world: World) -> None:
    server = world.server()
    collections = world.superuser(server.url).collections
    made = await collections.create(
        {"name": "books", "type": "base", "listRule": "", "fields": [{"name": "title", "type": "text", "required": True}]}
    )
    assert (made["name"], made["type"], made["listRule"]) == ("books", "base", "")
    assert (await collections.get_one("books"))["id"] == made["id"]
    changed = await collections.update("books", {"listRule": "title != ''"})
    assert changed["listRule"] == "title != ''"
    assert [field["name"] for field in changed["fields"]] == ["id", "title"]
    page = await collections.get_list(1, 2, filter="system = false", sort="-name")
    assert (len(page), page.page, page.per_page) == (2, 1, 2)
    assert page[0]["name"] > page[1]["name"] and page.total_items > 5
    every = await collections.get_full_list(sort="name")
    assert {"books", "posts", "users"} <= {collection["name"] for collection in every}
    assert [one["name"] for one in await collections.get_full_list(filter="type = 'view'")] == ["posts_view"]
    assert (await collections.get_first_list_item("name = 'books'"))["id"] == made["id"]
    assert (await failure(collections.get_first_list_item("name = 'none'"), "NotFound")).fix
    await collections.import_([{**made, "listRule": None}])
    assert (await collections.get_one(made["id"]))["listRule"] is None
    await world.superuser(server.url).collection("books").create({"title": "x"})
    assert await collections.truncate("books") is None
    assert len(await world.superuser(server.url).collection("books").get_list()) == 0
    assert set(await collections.get_scaffolds()) == {"base", "auth", "view"}
    providers = await collections.get_oauth2_providers()
    assert "google" in {provider["name"] for provider in providers}
    view = await collections.dry_run_view("SELECT id, title FROM posts")
    assert [field["name"] for field in view["fields"]] == ["id", "title"]
    assert await collections.delete("books") is None
    await failure(collections.get_one("books"), "NotFound")
    error = await failure(collections.create({"name": "posts", "type": "base"}), "Validation")
    assert "name" in error.fields


async def test_settings(world: World) -> None:
    server = world.server()
    settings = world.superuser(server.url).settings
    changed = await settings.update({"meta": {"appName": "Acme"}})
    assert changed["meta"]["appName"] == "Acme"
    assert (await settings.get_all())["meta"]["appName"] == "Acme"
    to = unique("mail") + "@example.com"
    assert await settings.test_email("users", to, "verification") is None
    assert world.kit.mail(to)["subject"]
    error = await failure(settings.test_s3("storage"), "Validation")
    assert error.status == 400
    error = await failure(settings.generate_apple_client_secret("com.example", "TEAM567890", "KEY4567890", "none", 60))
    assert (error.kind, list(error.fields)) == ("Validation", ["privateKey"])


async def test_logs(world: World) -> None:
    server = world.server()
    client = world.superuser(server.url)
    await failure(world.client(server.url).send("/api/nowhere"), "NotFound")

    async def found() -> Any:
        return await client.logs.get_list(1, 1, filter="data.url ~ '/api/nowhere'", sort="-created")

    # The server writes its log every few seconds.
    (entry,) = await until(found, lambda page: len(page) == 1)
    assert entry["data"]["status"] == 404
    assert (await client.logs.get_one(entry["id"]))["message"] == entry["message"]
    stats = await client.logs.get_stats(filter="data.url ~ '/api/nowhere'")
    assert [hour["total"] for hour in stats] == [1]
    assert await client.logs.delete_all() is None
    await failure(client.logs.get_one(entry["id"]), "NotFound")


async def test_backups(world: World, tmp_path: Path) -> None:
    server = world.server()
    client = world.superuser(server.url)
    backups = client.backups
    assert await backups.create("before.zip", timeout=60) is None
    ((key, size),) = [(backup["key"], backup["size"]) for backup in await backups.get_full_list()]
    assert key == "before.zip"
    counted: list[int] = []
    data = await backups.download(key, on_progress=counted.append)
    assert len(data) == size == sum(counted)
    assert "data.db" in zipfile.ZipFile(io.BytesIO(data)).namelist()
    target = tmp_path / "before.zip"
    assert await backups.download_to(key, target) == size
    async with backups.stream(key) as pieces:
        assert pieces.size == size
        assert b"".join([piece async for piece in pieces]) == data
    # From memory, a path, an open file.
    assert await backups.upload(File(data, filename="memory.zip")) is None
    os.rename(target, tmp_path / "path.zip")
    await backups.upload(tmp_path / "path.zip")
    os.rename(tmp_path / "path.zip", tmp_path / "open.zip")
    with (tmp_path / "open.zip").open("rb") as file:
        await backups.upload(file)
    assert {backup["key"] for backup in await backups.get_full_list()} == {
        "before.zip",
        "memory.zip",
        "open.zip",
        "path.zip",
    }
    await failure(backups.upload(File(b"no zip", filename="no.zip")), "Validation")
    assert "no file" in str(await failure(backups.upload({"file": data}), "Validation"))
    url = backups.get_download_url(key, "a b")
    assert url == f"{server.url}/api/backups/before.zip?token=a%20b"
    await failure(backups.restore("none.zip"), "Validation")
    assert await backups.delete(key) is None
    await failure(backups.download(key), "NotFound")


async def test_a_restored_backup_has_the_data_of_then(world: World) -> None:
    server = world.server()
    client = world.superuser(server.url)
    await client.backups.create("then.zip", timeout=60)
    post = await client.collection("posts").create({"title": "later"})
    assert await client.backups.restore("then.zip") is None

    async def gone() -> bool:
        try:
            found = await client.collection("posts").get_list(1, 1, filter=f"id = '{post['id']}'", timeout=2)
        except Exception:
            return False
        return len(found) == 0

    await until(gone)


async def test_crons(world: World) -> None:
    crons = world.superuser(world.server().url).crons
    jobs = {job["id"]: job["expression"] for job in await crons.get_full_list()}
    assert "__pbLogsCleanup__" in jobs
    assert await crons.run("__pbLogsCleanup__") is None
    await failure(crons.run("none"), "NotFound")


async def test_sql(world: World) -> None:
    sql = world.superuser(world.server().url).sql
    answer = await sql.run("SELECT 1 AS one, NULL AS none, 'text' AS text")
    assert [column["name"] for column in answer["columns"]] == ["one", "none", "text"]
    assert answer["rows"] == [["1", None, "text"]]
    await failure(sql.run("SELECT nonsense"), "Validation")


async def test_health(world: World) -> None:
    assert await world.client().health() == {"code": 200, "message": "API is healthy.", "data": {}}
    assert "canBackup" in (await world.superuser().health())["data"]


@pytest.mark.parametrize("service", ["collections", "settings", "logs", "backups", "crons"])
async def test_guests_may_not(world: World, service: str) -> None:
    found = getattr(world.client(), service)
    ask = found.get_all if service == "settings" else found.get_list if service == "logs" else found.get_full_list
    assert (await failure(ask())).kind in ("Unauthorized", "Forbidden")


async def test_options_of_services(world: World) -> None:
    proxy = world.proxy()
    client = world.superuser(proxy.url)
    await client.collections.get_list(2, 3, query={"fields": "name", "perPage": 4}, headers={"X-Trace": "7"})
    (request,) = proxy.requests("/api/collections")
    assert sorted(request["query"].split("&")) == ["fields=name", "page=2", "perPage=4"]
    assert request["headers"]["x-trace"] == "7"
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        await client.settings.get_all(wrong=1)
