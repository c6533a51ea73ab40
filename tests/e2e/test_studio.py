"""Studio in a real browser: sign in, see the estimate, submit, watch frames come, play, find it in the list."""

import io
import os
import shutil
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

SECONDS = 150_000
"""In milliseconds: for a long video, on a machine that may be busy."""
expect.set_options(timeout=30_000)

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that EDGECORE_CHROMIUM names.

    For this module alone: while Playwright runs, this thread has its event loop, and no other test may start one.
    """
    program = os.environ.get("EDGECORE_CHROMIUM") or shutil.which("chromium")
    if program is None and "CI" not in os.environ:
        pytest.skip("no browser: install Debian's package chromium, or set EDGECORE_CHROMIUM")
    assert program, "CI runs Studio's tests, and they need Debian's package chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, base_url: str) -> Iterator[Page]:
    opened = browser.new_page(base_url=base_url)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))

    def on_console(message: ConsoleMessage) -> None:
        # An answer that refuses is the test's own doing.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    opened.on("console", on_console)
    yield opened
    opened.close()
    assert complaints == []


def sign_in(page: Page, password: str) -> None:
    page.goto("/")
    page.get_by_label("Email").fill("dev@edgecore.local")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_refused_in_words(page: Page) -> None:
    sign_in(page, "not the password")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_from_a_prompt_to_a_playing_video(page: Page, password: str) -> None:
    sign_in(page, password)
    page.get_by_label("What should it show?").fill("a blue heart moving up")
    page.get_by_label("Size").select_option("96×64")
    page.get_by_label("Frames").select_option("33")
    page.get_by_label("Steps").fill("50")
    estimate = page.get_by_role("table", name="Estimate")
    expect(estimate).to_contain_text("aiprod")
    expect(estimate).to_contain_text("runway")
    expect(estimate.locator(".best")).to_contain_text("$")

    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_label("Live preview")).to_be_visible(timeout=SECONDS)
    # In one question: a frame is counted before it is drawn, and the canvas goes when the video comes.
    lit = """() => {
        const canvas = document.querySelector('canvas[aria-label="Live preview"]');
        return canvas && Number(canvas.dataset.frames) >= 3
            && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
                .data.some(value => value > 60 && value < 250);
    }"""
    page.wait_for_function(lit, timeout=SECONDS)

    video = page.locator("video")
    expect(video).to_be_visible(timeout=SECONDS)
    page.wait_for_function(
        "() => { const v = document.querySelector('video'); return v && v.currentTime > 0.2 }", timeout=SECONDS
    )
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [96, 64]
    expect(page.get_by_role("status")).to_contain_text("DELIVERED")
    expect(page.get_by_label("Video", exact=True).locator("dd").nth(1)).to_contain_text("$", timeout=SECONDS)
    expect(page.get_by_label("Jobs").get_by_role("listitem").first).to_contain_text("a blue heart moving up")
    if shot := os.environ.get("EDGECORE_SCREENSHOT"):
        page.screenshot(path=shot, full_page=True)


def test_a_first_frame_a_motion_and_few_steps(page: Page, password: str) -> None:
    sign_in(page, password)
    page.get_by_label("What should it show?").fill("a blue square moving right")
    page.get_by_label("Fast").check()
    page.get_by_text("First frame, motion, adapters").click()
    page.get_by_label("First frame").set_input_files(
        {"name": "first.png", "mimeType": "image/png", "buffer": square()}
    )
    expect(page.get_by_alt_text("The first frame")).to_be_visible()
    page.get_by_label("Steer the motion").check()
    page.get_by_label("Right, px a frame").fill("1.2")
    page.get_by_label("Upscale").check()
    expect(page.get_by_role("table", name="Estimate").locator(".best")).to_contain_text("aiprod")

    page.get_by_role("button", name="Generate").click()
    expect(page.locator("video")).to_be_visible(timeout=SECONDS)
    page.wait_for_function("() => document.querySelector('video')?.videoWidth", timeout=SECONDS)
    sides = "video => [video.videoWidth, video.videoHeight]"
    assert page.locator("video").evaluate(sides) == [128, 128]
    if shot := os.environ.get("EDGECORE_SCREENSHOT_CONDITIONS"):
        page.screenshot(path=shot, full_page=True)


def test_a_file_that_is_no_picture_is_refused_in_words(page: Page, password: str) -> None:
    sign_in(page, password)
    page.get_by_text("First frame, motion, adapters").click()
    page.get_by_label("First frame").set_input_files(
        {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.get_by_role("alert")).to_contain_text("PNG")


def square() -> bytes:
    """A PNG of a blue square on grey."""
    picture = Image.new("RGB", (64, 64), (128, 128, 128))
    picture.paste((30, 60, 200), (10, 22, 30, 42))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def test_the_session_survives_a_reload_and_ends_on_sign_out(page: Page, password: str) -> None:
    sign_in(page, password)
    expect(page.get_by_label("New video")).to_be_visible()
    page.reload()
    expect(page.get_by_label("New video")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_what_the_server_refuses_is_said_by_field(page: Page, password: str) -> None:
    sign_in(page, password)
    page.get_by_label("Steps").fill("")
    page.get_by_label("Steps").evaluate("input => { input.removeAttribute('min'); input.removeAttribute('max') }")
    page.get_by_label("Steps").fill("99")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("steps must be an integer from 1 to 50")
