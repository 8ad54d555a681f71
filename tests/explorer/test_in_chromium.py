"""The page at work in a browser, opened as a file."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
import torch
from PIL import Image

from diswm.build import load_learner
from diswm.contract import Array, DiswmError
from diswm.explorer import page
from diswm.explorer.webruntime import WebRuntime, read_runtime
from diswm.portable.graphs import Picture

pytestmark = [
    pytest.mark.skipif(chromium.PATH is None, reason="no chromium here (Debian: apt-get install chromium)"),
    pytest.mark.xdist_group("explorer"),
]


@pytest.fixture(scope="module")
def pages(bundles: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of one run, and one of two."""
    try:
        runtime = read_runtime()
    except DiswmError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, runs in (("one", bundles[:1]), ("two", bundles)):
        found[name] = folder / f"{name}.html"
        found[name].write_text(page.document(runs, runtime))
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    browser = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(shared: chromium.Chromium) -> Iterator[chromium.Chromium]:
    """The browser; a test fails where a page complained or asked the network for anything."""
    shared.problems.clear()
    yield shared
    assert shared.problems == []


def settled(browser: chromium.Chromium, ask: str) -> None:
    """Wait until an expression is true: a frame is drawn when the browser finds time."""
    end = time.monotonic() + chromium.PATIENCE
    while not browser.js(ask):
        assert time.monotonic() < end, f"never true: {ask}"
        time.sleep(0.05)


def pixels(browser: chromium.Chromium, panel: int = 0, which: str = "drawn") -> Array:
    """What a canvas shows, (64, 64, 3)."""
    settled(browser, "explorer.panels.every((panel) => !panel.dirty && panel.count)")
    values = browser.js(f"Array.from(explorer.panels[{panel}].{which}.getImageData(0, 0, 64, 64).data)")
    return np.array(values, np.uint8).reshape(64, 64, 4)[..., :3]


def code(browser: chromium.Chromium, panel: int = 0) -> Array:
    return np.array(browser.js(f"Array.from(explorer.panels[{panel}].code)"), np.float32)


def distance(one: Array, two: Array) -> int:
    return int(np.abs(one.astype(int) - two.astype(int)).max())


def test_the_page_encodes_and_draws_as_pytorch_does(
    browser: chromium.Chromium, pages: dict[str, Path], lively: list[Path], bundles: list[dict[str, Any]]
) -> None:
    browser.show(pages["two"])
    assert browser.js("explorer.failed()") is False
    data = base64.b64decode(bundles[0]["frames"][0].partition(",")[2])
    frame = np.array(Image.open(io.BytesIO(data)))
    for panel, folder in enumerate(lively):
        world = load_learner(folder, "cpu").world.eval()
        np.testing.assert_array_equal(pixels(browser, panel, "real"), frame)
        with torch.no_grad():
            np.testing.assert_allclose(code(browser, panel), world.encode(torch.from_numpy(frame[None])).mean[0], atol=1e-4)
            drawn = []
            for scale in (0, -3, 3):
                dims = bundles[panel]["dims"]
                browser.js(f"explorer.panels[{panel}].set({json.dumps([dim['mean'] + scale * dim['spread'] for dim in dims])})")
                drawn.append(pixels(browser, panel))
                want = Picture(world)(torch.from_numpy(code(browser, panel)[None]))[0].numpy()
                assert distance(drawn[-1], want) <= 2
            assert min(distance(drawn[0], drawn[1]), distance(drawn[0], drawn[2])) > 20, "pictures that are all alike show nothing"


def test_a_slider_moves_its_dimension_by_keyboard_and_the_picture_follows(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    before, start = pixels(browser), code(browser)
    dim = browser.js("(() => { const s = document.querySelector('.dim input'); s.focus(); return Number(s.id.split('dim')[1]); })()")
    browser.press("End", 35)
    after = pixels(browser)
    facts = browser.js(f"(({{mean, spread}}) => [mean, spread])(explorer.panels[0].run.dims[{dim}])")
    moved = start.copy()
    moved[dim] = facts[0] + 4 * facts[1]  # the slider's end: four standard deviations
    np.testing.assert_allclose(code(browser), moved, rtol=1e-5)
    assert distance(before, after) > 20
    assert browser.js("document.querySelector('.dim output').textContent") == "4.00 σ"
    browser.js("document.querySelector('.home').click()")
    assert distance(pixels(browser), before) == 0
    np.testing.assert_array_equal(code(browser), start)


def test_frames_are_chosen_by_arrow_keys_and_images_of_ones_own_are_taken(
    browser: chromium.Chromium, pages: dict[str, Path], bundles: list[dict[str, Any]]
) -> None:
    browser.show(pages["one"])
    first, shown = code(browser), pixels(browser, which="real")
    browser.js("document.querySelector('#strip input').focus()")
    browser.press("ArrowRight", 39)
    settled(browser, "document.querySelectorAll('#strip input')[1].checked")
    settled(browser, f"JSON.stringify(Array.from(explorer.panels[0].code)) !== {json.dumps(json.dumps(first.tolist()))}")
    assert distance(pixels(browser, which="real"), shown) > 2
    assert browser.js("document.querySelector('#origin').textContent").startswith(
        f"Shown: {bundles[0]['origins'][1]} of agent, from 16 episodes"
    )
    assert browser.js("document.querySelector('.from').textContent") == bundles[0]["origins"][1]
    wide = np.zeros((100, 180, 3), np.uint8)
    wide[:, 40:140] = (200, 40, 90)  # the middle square, which alone is to be seen
    drop(browser, "mine.png", wide)
    settled(browser, "explorer.panels[0].real.getImageData(32, 32, 1, 1).data[0] === 200")
    assert distance(pixels(browser, which="real"), np.broadcast_to(np.array([200, 40, 90]), (64, 64, 3))) <= 5  # smoothed at the edges
    said = browser.js("document.querySelector('#origin').textContent")
    assert said == "Shown: your image mine.png, the middle square of its 180 × 100 pixels."


def drop(browser: chromium.Chromium, name: str, image: Array, kind: str = "image/png") -> None:
    """As if the user dropped it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    bytes_ = ",".join(map(str, file.getvalue()))
    browser.js(f"""(() => {{
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([{bytes_}])], '{name}', {{ type: '{kind}' }}));
      document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, cancelable: true, bubbles: true }}));
    }})()""")


def test_what_one_can_see_through_is_white_to_the_networks_as_well(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    clear = np.zeros((64, 64, 4), np.uint8)
    clear[32:] = (0, 0, 0, 255)
    drop(browser, "clear.png", clear)
    settled(browser, "document.querySelector('.from').textContent === 'clear.png'")
    shown = browser.js("Array.from(explorer.panels[0].real.getImageData(0, 0, 64, 64).data)")
    assert np.array(shown).reshape(64, 64, 4)[[10, 50], 10].tolist() == [[255, 255, 255, 255], [0, 0, 0, 255]]


def test_a_file_that_is_no_image_leaves_all_as_it_was(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    before, frames = code(browser), browser.js("document.querySelectorAll('#strip input').length")
    for name, kind, told in (("notes.txt", "text/plain", "is no image."), ("torn.png", "image/png", "cannot be read as an image.")):
        browser.js(f"""(() => {{
          const data = new DataTransfer();
          data.items.add(new File(['words'], '{name}', {{ type: '{kind}' }}));
          document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, cancelable: true, bubbles: true }}));
        }})()""")
        settled(browser, f"document.querySelector('#status').textContent === '{name} {told}'")
    np.testing.assert_array_equal(code(browser), before)
    assert browser.js("document.querySelectorAll('#strip input').length") == frames
    assert browser.js("explorer.failed()") is False


def test_the_page_tells_how_long_a_picture_takes(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    browser.js("document.querySelector('.play').click()")
    settled(browser, "document.querySelector('.time').textContent")
    browser.js("document.querySelector('.play').click()")
    assert re.fullmatch(r"\d+\.\d ms", browser.js("document.querySelector('.time').textContent"))


EARLY = """<script>new MutationObserver((_, own) => {
  const frames = document.querySelectorAll('#strip input');
  if (frames.length > 2) { own.disconnect(); frames[1].click(); globalThis.early = !explorer.panels[0].encoder; }
}).observe(document.documentElement, { childList: true, subtree: true });</script>"""


def test_a_frame_that_is_chosen_while_the_networks_are_unpacked_waits_for_them(
    browser: chromium.Chromium, pages: dict[str, Path], bundles: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "early.html"
    path.write_text(pages["one"].read_text().replace('<script type="module">', EARLY + '<script type="module">'))
    browser.show(path)
    assert browser.js("globalThis.early") is True
    assert browser.js("explorer.failed()") is False
    assert browser.js("document.querySelectorAll('#strip input')[1].checked") is True
    data = base64.b64decode(bundles[0]["frames"][1].partition(",")[2])
    np.testing.assert_array_equal(pixels(browser, which="real"), np.array(Image.open(io.BytesIO(data))))


def test_a_sweep_runs_until_it_is_stopped(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    pixels(browser)
    browser.js("document.querySelector('.play').focus()")
    browser.press("Enter", 13)
    assert browser.js("document.querySelector('.play').getAttribute('aria-pressed')") == "true"
    begun = browser.js("explorer.panels[0].count")
    settled(browser, f"explorer.panels[0].count > {begun + 5}")
    browser.press("Escape", 27)
    assert browser.js("document.querySelector('.play').getAttribute('aria-pressed')") == "false"
    still = code(browser)
    browser.js("new Promise((done) => setTimeout(done, 200))")
    np.testing.assert_array_equal(code(browser), still)


def test_two_runs_move_together_unless_told_otherwise(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["two"])
    apart = code(browser, 1)
    move = "(() => {{ const s = explorer.panels[0].sliders[2].slider; s.value = {}; s.dispatchEvent(new Event('input')); }})()"
    browser.js(move.format(2))
    mean, spread = browser.js("(({mean, spread}) => [mean, spread])(explorer.panels[1].run.dims[2])")
    together = code(browser, 1)
    assert together[2] == pytest.approx(mean + 2 * spread, rel=1e-5)
    np.testing.assert_array_equal(np.delete(together, 2), np.delete(apart, 2))
    browser.js("document.querySelector('#linked').click()")
    browser.js(move.format(-1))
    np.testing.assert_array_equal(code(browser, 1), together)
    assert "−1.00 σ" in browser.js("explorer.panels[0].sliders[2].output.textContent")


def test_the_code_is_copied_as_numbers(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages["one"])
    browser.js("Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { globalThis.copied = text; } } })")
    browser.js("document.querySelector('.copy').click()")
    settled(browser, "globalThis.copied")
    np.testing.assert_allclose(json.loads(browser.js("copied")), code(browser), rtol=1e-5)
    assert browser.js("document.querySelector('#status').textContent") == "The code is copied."


def test_sliders_stand_below_their_own_pictures(browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    """Also where the other run has more of them."""
    browser.show(pages["two"])
    browser.js("explorer.panels[1].element.querySelectorAll('.dim').forEach((dim, index) => { dim.hidden = index > 0; })")
    gap = "((e) => e.querySelector('.dims').getBoundingClientRect().top - e.querySelector('.stage').getBoundingClientRect().bottom)"
    assert [round(browser.js(f"{gap}(explorer.panels[{index}].element)")) for index in (0, 1)] == [20, 20]


def test_a_page_that_cannot_run_says_so(shared: chromium.Chromium, bundles: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "broken.html").write_text(page.document(bundles[:1], WebRuntime(b"export const env = { wasm: {} };", b"no wasm")))
    shared.show(tmp_path / "broken.html")
    assert shared.js("explorer.failed()") is True
    assert "The page cannot go on: " in shared.js("document.querySelector('#status').textContent")
    assert shared.js("[...document.querySelectorAll('button, input')].every((element) => element.disabled)") is True


@pytest.mark.parametrize("name", ["one", "two"])
def test_it_fits_a_phone_and_the_dark(name: str, browser: chromium.Chromium, pages: dict[str, Path]) -> None:
    browser.show(pages[name], width=360, height=740, dark=True)
    assert browser.js("document.documentElement.scrollWidth") == 360
    place = browser.js("(({top, bottom, width}) => [top, bottom, width])(document.querySelector('#origin').getBoundingClientRect())")
    assert 0 < place[0] < place[1] < 740, "where the frame comes from stands on the first screen"
    assert place[2] > 0
    assert "16 episodes" in browser.js("document.querySelector('.about').innerText")
    red, green, blue = browser.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)")
    assert max(red, green, blue) < 60
    unnamed = "[...document.querySelectorAll('button, input')].filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))"
    assert browser.js(f"{unnamed}.length") == 0


def test_long_names_fit_a_phone_and_frames_that_both_runs_have_are_offered_once(
    browser: chromium.Chromium, bundles: list[dict[str, Any]], tmp_path: Path
) -> None:
    dims = [{**dim, "quiet": False, "factors": [["colour.self_highlight_default green", -0.5]] * 2} for dim in bundles[0]["dims"]]
    run = {**bundles[0], "dims": dims}
    path = tmp_path / "long.html"
    path.write_text(page.document([run, {**run, "name": "a_run_with_a_name_that_has_no_place_to_break/0"}], read_runtime()))
    browser.show(path, width=360, height=740)
    assert browser.js("document.querySelectorAll('#strip input').length") == len(run["frames"])
    browser.js("document.querySelector('.play').click()")
    settled(browser, "document.querySelector('.time').textContent")
    assert browser.js("document.documentElement.scrollWidth") == 360
    over = "((inner, outer) => inner.getBoundingClientRect().right - outer.getBoundingClientRect().right)"
    assert browser.js(f"{over}(document.querySelector('.time'), document.querySelector('.drawn'))") <= 1
    assert browser.js(f"{over}(document.querySelector('.carries span'), document.querySelector('.dim'))") <= 0
