"""The page of the API says what FastAPI says of the routes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Body, FastAPI, File, Form, Query, UploadFile
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from biocosmos.serve.operations import Operation, operations
from doors import HERE, bearer, client, with_token


class Box(BaseModel):
    west: float
    east: float | None = None


class Labels(BaseModel):
    ids: list[str] | None = Field(None, description="Specimens.", examples=[["a", "b"]])
    status: Literal["validated", "dubious"] = "validated"
    box: Box
    k: int = Field(3, ge=1, le=9)


def described() -> dict[str, Operation]:
    app = FastAPI()

    @app.post("/api/labels/{act}", summary="Name specimens", tags=["label"])
    def label(act: int, given: Labels, note: Annotated[str, Query(description="In words.")] = "") -> None:
        """One act.

        Nothing is overwritten.
        """

    @app.post("/api/search")
    def search(images: Annotated[list[UploadFile], File()], k: Annotated[int, Form()] = 5) -> None: ...

    @app.get("/api/taxa")
    def taxa(q: str) -> None: ...

    @app.delete("/api/views/{name}")
    def forget(name: str) -> None: ...

    @app.get("/api/table", response_class=PlainTextResponse)
    def table() -> str: ...

    @app.post("/api/words")
    def words(given: Annotated[list[str], Body()]) -> None: ...

    return {each.key: each for _, group in operations(app.openapi(), "http://here") for each in group}


def test_operations_are_told_with_what_they_take() -> None:
    found = described()
    label = found["post-labels-act"]
    assert (label.method, label.path, label.title) == ("POST", "/api/labels/{act}", "Name specimens")
    assert label.what == ("One act.", "Nothing is overwritten.")
    given = {each.name: each for each in label.given}
    assert given["act"].place == "path" and given["note"].place == "query" and given["note"].what == "In words."
    assert given["ids"].kind == "list of text" and given["ids"].what == "Specimens." and not given["ids"].required
    assert given["status"].kind == "one of validated, dubious" and given["status"].default == '"validated"'
    assert given["k"].kind == "whole number at least 1 at most 9" and given["box"].required
    images = {each.name: each for each in found["post-search"].given}
    assert images["images"].kind == "list of file" and images["images"].place == "form" and images["k"].default == "5"


def test_examples_can_be_typed() -> None:
    found = described()
    label = found["post-labels-act"]
    assert label.curl.endswith("""-d '{"box": {"west": 0.5}}' http://here/api/labels/1""")
    assert label.python == """api.post("/api/labels/1", json={'box': {'west': 0.5}}).json()"""
    assert "-F images=@photo.jpg http://here/api/search" in found["post-search"].curl
    assert """files={'images': open("photo.jpg", "rb")}""" in found["post-search"].python
    assert "'http://here/api/taxa?q=Q'" in found["get-taxa"].curl
    assert found["get-taxa"].python == """api.get("/api/taxa", params={'q': 'Q'}).json()"""
    assert found["delete-views-name"].python == """api.delete("/api/views/NAME").json()"""
    assert found["get-table"].python.endswith(".content") and found["get-table"].title == ""
    assert " -X DELETE " in found["delete-views-name"].curl
    for each in found.values():
        compile(each.python, "example", "eval")


def test_the_page_lists_every_operation_of_openapi() -> None:
    known = client(with_token(), headers=bearer())
    listed = known.get("/api/openapi.json").json()
    page = known.get("/api").text
    assert len(listed["paths"]) > 5 and "/login" not in listed["paths"]
    for path, methods in listed["paths"].items():
        assert path in page, path
        assert page.count('data-test="operation"') == sum(map(len, listed["paths"].values()))
        assert all(methods)
    assert HERE in page and "swagger" not in page.lower()
    assert known.get("/docs").status_code == known.get("/redoc").status_code == 404
