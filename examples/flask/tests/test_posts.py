"""The board: lists, search, pictures, one's own posts."""

from __future__ import annotations

import re
import urllib.request
from html import unescape
from io import BytesIO

from helpers import HERE, Arrive, Visitor, png
from support.kit import Server


def titles(page: str) -> list[str]:
    return [unescape(title) for title in re.findall(r"<h2><a [^>]*>(.*?)</a></h2>", page)]


def pictures(page: str) -> list[str]:
    return [unescape(url) for url in re.findall(r'<img src="(.*?)"', page)]


def load(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        data: bytes = answer.read()
        return data


def test_a_post_with_a_picture(arrive: Arrive) -> None:
    ada, guest = arrive("Ada"), arrive()
    file, name = png()
    post = ada.pin("A flower", body="Red & round", cover=(file, name))
    page = guest.get(post).text
    [picture] = pictures(page)
    assert load(picture) == png()[0].getvalue()
    assert "Red &amp; round" in page and "Ada" in page
    # Guests have nothing to change here; their pages may load the picture.
    assert "Edit" not in page and "Edit" in ada.get(post).text
    assert re.search(r"img-src 'self' (http://\S+);", guest.get(post).headers["Content-Security-Policy"])

    board = guest.get("/").text
    [thumb] = [url for url in pictures(board) if url.startswith(picture)]
    assert thumb.endswith("?thumb=100x100")
    data = load(thumb)
    assert int.from_bytes(data[16:20], "big") == 100  # the width, in a PNG's header


def test_pages(arrive: Arrive, server: Server) -> None:
    ada = arrive("Ada", PER_PAGE=3)
    for n in range(7):
        ada.pin(f"Wordofpages {n}")
    first, second, third = (ada.get(f"/?q=wordofpages&page={page}").text for page in (1, 2, 3))
    assert [len(titles(page)) for page in (first, second, third)] == [3, 3, 1]
    assert sorted(titles(first + second + third)) == [f"Wordofpages {n}" for n in range(7)]
    assert "/?q=wordofpages&amp;page=2" in first and "Newer" not in first
    assert "Older" in second and "Older" not in third and "7 posts" in first
    for page in ("0", "-1", "x"):
        assert titles(ada.get(f"/?q=wordofpages&page={page}").text) == titles(first)
    beyond = ada.get(f"/?q=wordofpages&page={10**30}")
    assert beyond.status_code == 200 and "/?q=wordofpages&amp;page=3" in beyond.text


def test_search_takes_words_as_words(arrive: Arrive) -> None:
    ada = arrive("Ada")
    ada.pin("Quokka at noon", body="It smiles")
    ada.pin('Quokka "quoted" || title', body="Odd")
    ada.pin("Quokka hidden", status="draft")
    guest = arrive()

    def found(words: str) -> list[str]:
        answer = guest.get("/", query_string={"q": words})
        assert answer.status_code == 200, answer.text
        return titles(answer.text)

    assert found("smiles QUOKKA") == ["Quokka at noon"]
    assert found('quokka "quoted"') == ['Quokka "quoted" || title']
    assert found("quokka ||") == ['Quokka "quoted" || title']
    for attempt in ('" || title ~ "', '") || (1=1', "{:w0}", "\\", "quokka' || status='draft"):
        assert "Quokka hidden" not in found(attempt)
    assert found("quokka " + "x" * 5000) == []
    assert guest.get("/", query_string={"q": "a\0b"}).status_code == 400


def test_what_visitors_write_stays_text(arrive: Arrive) -> None:
    ada = arrive("Ada")
    post = ada.pin("<script>alert(1)</script>", body="<b>bold</b>")
    pages = ada.get(post).text + ada.get("/").text + ada.get(f"{post}/edit").text
    assert "<script" not in pages and "<b>" not in pages and "&lt;script&gt;" in pages


def test_refused_fields_are_marked_and_nothing_is_lost(arrive: Arrive) -> None:
    ada = arrive("Ada")
    answer = ada.post("/posts/new", {"title": " ", "body": "Long thoughts", "status": "draft"})
    assert answer.status_code == 422
    assert 'aria-invalid="true" aria-describedby="title-refused"' in answer.text
    assert "Long thoughts" in answer.text and "checked" in answer.text

    answer = ada.post("/posts/new", {"title": "No picture", "cover": (BytesIO(b"just text"), "notes.txt")})
    assert answer.status_code == 422 and 'id="cover-refused"' in answer.text
    assert 'value="No picture"' in answer.text
    assert "No picture" not in ada.get("/").text


def test_a_picture_that_is_too_large(arrive: Arrive) -> None:
    ada = arrive("Ada")
    form = b'--x\r\nContent-Disposition: form-data; name="cover"; filename="huge.png"\r\n\r\n' + bytes(12_000_000)
    answer = ada.browser.post("/posts/new", data=form, content_type="multipart/form-data; boundary=x", headers=HERE)
    assert answer.status_code == 413 and "10 MB" in answer.text


def test_a_picture_goes_to_the_instance_once(arrive: Arrive, server: Server) -> None:
    ada = arrive("Ada")
    server.proxy.faults(
        {"method": "POST", "path_contains": "/posts/records", "times": 1, "action": {"type": "lose_answer"}}
    )
    file, name = png()
    post = ada.pin("Only one of it", cover=(file, name))
    assert titles(ada.get("/?q=only one of it").text) == ["Only one of it"]
    assert load(pictures(ada.get(post).text)[0]) == png()[0].getvalue()


def test_edit(arrive: Arrive) -> None:
    ada = arrive("Ada")
    file, name = png()
    post = ada.pin("Draft of it", body="First", status="draft", cover=(file, name))
    form = ada.get(f"{post}/edit").text
    assert 'value="Draft of it"' in form and "First</textarea>" in form and "checked" in form

    # The picture stays unless another one comes.
    answer = ada.post(f"{post}/edit", {"title": "Done", "body": "Second"})
    assert (answer.status_code, answer.headers["Location"]) == (303, post)
    page = arrive().get(post).text
    assert "Done" in page and "Second" in page and len(pictures(page)) == 1

    smaller, name = png(120)
    assert ada.post(f"{post}/edit", {"title": "Done", "body": "", "cover": (smaller, name)}).status_code == 303
    assert load(pictures(ada.get(post).text)[0]) == png(120)[0].getvalue()

    assert ada.post(f"{post}/edit", {"title": "", "body": ""}).status_code == 422
    assert ada.post(f"{post}/edit", {"title": "Bare", "body": "", "remove_cover": "on"}).status_code == 303
    assert pictures(ada.get(post).text) == []


def test_delete(arrive: Arrive) -> None:
    ada = arrive("Ada")
    post = ada.pin("Short-lived")
    assert "Delete “Short-lived”?" in ada.get(f"{post}/delete").text
    assert ada.get(post).status_code == 200
    assert ada.post(f"{post}/delete").status_code == 303
    assert ada.get(post).status_code == 404 and ada.post(f"{post}/delete").status_code == 404


def test_posts_of_others_cannot_be_changed(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    post = ada.pin("Ada's")
    for path in (f"{post}/edit", f"{post}/delete"):
        assert bob.get(path).status_code == 403
        assert bob.post(path, {"title": "Bob's"}).status_code == 403
        assert arrive().post(path, {"title": "Nobody's"}).headers["Location"].startswith("/sign-in")
    assert "Ada&#39;s" in ada.get(post).text


def test_pages_that_are_not_there(arrive: Arrive) -> None:
    guest: Visitor = arrive()
    for path in ("/nothing", "/posts/nothing", "/posts/..", "/posts/%2e%2e"):
        answer = guest.get(path)
        assert answer.status_code == 404 and "To the board" in answer.text, path
    assert guest.get("/sign-out").status_code == 405
