from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from itsbox.api.static import static_routes
from tests.api.conftest import Service


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    """An application that serves a page with one script."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "assets" / "app.js").write_text("1")
    app = FastAPI()
    app.include_router(static_routes(tmp_path))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


async def test_the_page_is_served_at_the_root(client: httpx.AsyncClient) -> None:
    """Under its name as well; scripts have their type."""
    page = await client.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.content == (await client.get("/index.html")).content
    assert "javascript" in (await client.get("/assets/app.js")).headers["content-type"]


async def test_the_policy_allows_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """No inline script, no other host, no framing."""
    policy = (await client.get("/")).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/assets/", "/assets/../index.html", "/..%2f", "/assets/app.js.map", "/%00"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    """Only the files that there are; no listing, no way out."""
    answer = await client.get(path)

    assert answer.status_code == 404 or answer.content == (await client.get("/")).content


async def test_a_package_without_the_page_has_no_routes(tmp_path: Path) -> None:
    """A service that was built without Node is a service without a page."""
    assert static_routes(tmp_path / "nothing").routes == []


def test_the_api_keeps_its_404_beside_the_page(service: Service) -> None:
    """The page's routes swallow nothing."""
    assert service.http.get("/v1/nothing").status_code == 404
    assert service.http.put("/v1/sessions").status_code == 405
