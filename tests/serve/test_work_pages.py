"""The pages of long work and of reports in a real browser."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from browsing import PHONE, Server

PATIENCE = 240_000


def test_a_job_is_started_from_its_form_and_shows_command_progress_log_and_result(
    shared_server: Server, opened: Callable[..., Any]
) -> None:
    page = opened(shared_server, "/jobs?start=export")
    page.locator("[data-test=f-export-format]").select_option("csv")
    page.locator("[data-test=start-button-export]").click()
    job = page.locator("[data-test=job]").first
    job.locator("[data-test=job-show-log]").click()
    job.locator("[data-test=job-status]", has_text="done").wait_for(timeout=PATIENCE)
    assert job.locator("[data-test=job-command]").inner_text().startswith("biocosmos export")
    page.wait_for_function("document.querySelector('[data-test=job-log]').textContent.includes('specimens')", timeout=PATIENCE)
    with page.expect_download() as download:
        job.locator("[data-test=job-file]").click()
    assert download.value.suggested_filename.endswith(".csv")
    page.reload()
    assert page.locator("[data-test=job]").first.get_attribute("data-status") == "done", "it survives a reload"


def test_fields_that_others_make_no_use_of_are_hidden_and_not_sent(shared_server: Server, opened: Callable[..., Any]) -> None:
    page = opened(shared_server, "/jobs?start=clusters")
    assert not page.locator("[data-test=f-clusters-clusters]").is_visible()
    page.locator("[data-test=f-clusters-method]").select_option("ward")
    page.locator("[data-test=f-clusters-clusters]").fill("6")
    page.locator("[data-test=f-clusters-method]").select_option("hdbscan")
    assert not page.locator("[data-test=f-clusters-clusters]").is_visible()
    page.locator("[data-test=start-button-clusters]").click()
    command = page.locator("[data-test=job][data-status=running] [data-test=job-command]").first
    command.wait_for(timeout=PATIENCE)
    assert "--method=hdbscan" in command.inner_text() and "--clusters" not in command.inner_text()
    page.locator("[data-test=job-cancel]").first.click()
    page.locator("[data-test=job][data-status=cancelled], [data-test=job][data-status=done]").first.wait_for(timeout=PATIENCE)


def test_what_is_refused_is_shown_and_a_failure_says_its_line(shared_server: Server, opened: Callable[..., Any]) -> None:
    page = opened(shared_server, "/jobs?start=evaluate", size=PHONE)
    page.locator("[data-test=f-evaluate-title]").fill("No Good")
    page.locator("[data-test=start-button-evaluate]").click()
    assert "small letters" in page.locator("[data-test=toast-error]").inner_text()
    page.goto(f"{shared_server.address}/jobs?start=export")
    page.locator("[data-test=f-export-within]").fill("<img src=x onerror=alert(1)>")
    page.locator("[data-test=start-button-export]").click()
    failed = page.locator("[data-test=job][data-status=failed]").first
    failed.wait_for(timeout=PATIENCE)
    assert "no taxon" in failed.locator("[data-test=job-message]").inner_text() and page.locator("main img").count() == 0


def test_learning_shows_what_changed_and_a_person_promotes(served: Server, opened: Callable[..., Any]) -> None:
    page = opened(served, "/jobs")
    page.locator("[data-test=refit-start]").click()
    page.locator("[data-test=model]").first.wait_for(timeout=PATIENCE)
    rows = page.locator("[data-test=rank-table] tbody tr")
    assert rows.count() >= 2 and "points" in rows.first.inner_text()
    assert "named by people" in page.locator("[data-test=model-says]").inner_text()
    assert page.locator("[data-test=model-in-use]").count() == 0
    page.locator("[data-test=model-promote]").click()
    page.locator("[data-test=model-in-use]").wait_for()
    page.locator("[data-test=model-report]").click()
    frame = page.frame_locator("[data-test=report-frame]")
    frame.locator("h1").wait_for()
    assert "the labels alone" in frame.locator("h1").inner_text()
    page.context.close()  # or it says, rightly, that the server does not answer
    served.stop(signal.SIGKILL)
    again = Server(served.collection).start()
    try:
        later = opened(again, "/jobs")
        assert later.locator("[data-test=model-in-use]").inner_text() == "in use", "it survives kill -9"
    finally:
        again.end()


def test_a_report_is_read_in_place_by_keyboard(shared_server: Server, opened: Callable[..., Any]) -> None:
    folder = shared_server.collection / "reports"
    folder.mkdir(exist_ok=True)
    (folder / "a.html").write_text("<!doctype html><title>First &amp; last</title><h1>First</h1>")
    page = opened(shared_server, "/reports")
    page.locator("[data-test=report]", has_text="First & last").focus()
    page.keyboard.press("Enter")
    frame = page.frame_locator("[data-test=report-frame]")
    assert frame.locator("h1").inner_text() == "First"
    assert page.locator("[data-test=report][aria-current]").count() == 1
