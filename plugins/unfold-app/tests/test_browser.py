"""The page as a visitor meets it, in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import coffee

import unfold
from unfold.imaging import Photo, read, write

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed"
)
PATIENCE = 120  # seconds: the machine may be busy

# A plugin that raises as it restores, and one that ends the process as it is imported.
PLUGINS = {
    "acme_raise": (
        "from unfold.restorer import Restorer\n"
        "class Model(Restorer):\n    'It gives up.'\n    requires_training = False\n"
        "    def forward(self, image, *, kernel=None, history=None):\n"
        "        raise SystemExit('<b>acme</b> gave up')\n"
        "    def explain(self): return ''\n"
    ),
    "acme_exit": "import sys; sys.exit(3)\n",
}
# What the server asks the system for, written down.
WATCH = """
import sys
file = open({path!r}, "a", buffering=1)
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        print(event, arguments[1] if event != "socket.getaddrinfo" else arguments[0], file=file)
sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running page: its address, its process, the folder for its temporary files."""
    folder = tmp_path_factory.mktemp("server")
    for name, text in PLUGINS.items():
        (folder / f"{name}.py").write_text(text)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entry = f"[unfold.models]\n{name.replace('_', '-')} = {name}:Model\n"
        (info / "entry_points.txt").write_text(entry)
    (folder / "sitecustomize.py").write_text(WATCH.format(path=str(folder / "sockets.txt")))
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(temporary)}
    options = ["--port", "0", "--device", "cpu", "--max-upload", "1", "--max-pixels", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unfold", "app", *options],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    yield re.search(r"http://127\.0\.0\.1:\d+", line)[0], process, folder
    process.terminate()
    process.wait(PATIENCE)


class Visitor:
    """A browser with the page open."""

    def __init__(self, url, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (
            "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync",
            "disable-background-networking", "disable-component-update",
            "window-size=1300,1200", f"user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.url = url
        self.come()

    def come(self):
        """The page anew."""
        self.driver.get(self.url)
        self.told("Upload a photo or pick a sample")

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, what):
        """Wait for something; its value."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if value := what():
                    return value
            except Exception as error:  # the page is being redrawn
                value = error
            time.sleep(0.1)
        raise AssertionError(f"waited in vain ({value}): {self.find('body')[0].text}")

    def seen(self, selector):
        """The first that is displayed, when there is one."""
        return self.until(lambda: next((e for e in self.find(selector) if e.is_displayed()), None))

    def shows(self, text):
        self.until(lambda: text in self.find("body")[0].text)

    def told(self, text):
        return self.until(lambda: next((m for m in self.messages() if text in m), None))

    def messages(self):
        return [m.text for m in self.find(".message")]

    def upload(self, path):
        self.until(lambda: self.find("input[type=file]"))[0].send_keys(str(path))

    def give_kernel(self, path):
        self.click("Blur kernel, if it is known")
        self.until(lambda: len(self.find("input[type=file]")) == 2)
        self.find("input[type=file]")[1].send_keys(str(path))

    def choose(self, model):
        box = self.find("input[aria-label=Model]")[0]
        box.click()
        self.seen(f"[role=option][aria-label={model}]").click()
        self.until(lambda: box.get_attribute("value") == model)

    def click(self, text):
        """Press a button, which may have yet to be drawn."""

        def pressed():
            (button,) = [b for b in self.find("button") if b.text.split("\n")[0].strip() == text]
            button.click()
            return True

        self.until(pressed)

    def restore(self):
        self.click("Restore")

    def leave(self):
        self.driver.quit()


@pytest.fixture(scope="module")
def one(server, tmp_path_factory):
    here = Visitor(server[0], tmp_path_factory.mktemp("profile"))
    yield here
    here.leave()


@pytest.fixture
def visitor(one):
    one.come()
    return one


def picture(path, row, bits=8):
    image = torch.tensor(coffee()[row : row + 48, 200:264]).permute(2, 0, 1).float() / 255
    write(path, Photo(0.3 * image, bits=bits))
    return path


def download(visitor):
    link = visitor.until(lambda: visitor.find("a.download"))[0].get_attribute("href")
    with urllib.request.urlopen(link) as answer:
        return link, answer.read()


def test_restore_and_look(visitor, server, tmp_path):
    photo = picture(tmp_path / "dark & <odd>.png", 100, bits=16)
    visitor.upload(photo)
    assert "64×48 pixels, color, 16 bits" in visitor.told("64×48")
    visitor.click("Options of the model")
    rounds = visitor.seen("input[aria-label=K]")
    rounds.clear()
    rounds.send_keys("3", Keys.TAB)
    visitor.until(lambda: rounds.get_attribute("value") == "3")
    np.save(tmp_path / "line.npy", np.ones((3, 5)))
    visitor.give_kernel(tmp_path / "line.npy")
    visitor.told("line.npy: a blur kernel of 5×3 pixels")
    visitor.restore()
    visitor.told("restored by jude-classic")
    # What is downloaded is what the library makes of the photo, in its 16 bits.
    got = tmp_path / "got.png"
    got.write_bytes(download(visitor)[1])
    model = unfold.create_model("jude-classic", K=3).eval()
    with torch.inference_mode():
        kernel = torch.full((1, 1, 3, 5), 1 / 15)
        expected = model(read(photo).image[None], kernel=kernel).image[0]
    assert read(got).bits == 16
    assert (read(got).image - expected).abs().max() <= 0.5001 / 65535 + 1e-6
    # The slider over the pair.
    cut = visitor.find("input.cut")[0]
    cut.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "--cut: 52%" in visitor.find(".pair")[-1].get_attribute("style")
    # The slider through the stages: one of start and three stages is seen, each its own pictures.
    seen = []
    slider = visitor.find("input.stage")[0]
    for stage in ("stage 3 of 3", "stage 2 of 3", "stage 1 of 3", "start"):
        (tiles,) = [t for t in visitor.find("[data-stage]") if t.is_displayed()]
        assert tiles.get_attribute("data-stage") == stage
        assert stage in visitor.find("input.stage + .note")[0].text
        seen.append(tiles.find_element(By.CSS_SELECTOR, "img[alt=P]").get_attribute("src"))
        slider.send_keys(Keys.ARROW_LEFT)
    assert len(set(seen)) == 4
    assert visitor.find(".inside figure img[alt=kernel]")[0].is_displayed()
    assert all(
        visitor.driver.execute_script("return arguments[0].naturalWidth > 0", image)
        for image in visitor.find(".inside img, .pair img")
    )
    # Neither the page nor the server asks another machine for anything.
    asked = re.findall(
        r'"Network.requestWillBeSent".*?"url":"((?:https?|wss?)://[^/"]+)',
        " ".join(entry["message"] for entry in visitor.driver.get_log("performance")),
    )
    assert set(asked) == {server[0]}
    assert [e for e in visitor.driver.get_log("browser") if "Content Security" in str(e)] == []
    sockets = (server[2] / "sockets.txt").read_text()
    assert "socket.bind ('127.0.0.1', 0)" in sockets
    assert [line for line in sockets.splitlines() if "127.0.0.1" not in line] == []


@pytest.mark.parametrize("name", ["broken.png", "text.jpg", "big.png", "wide.png"])
def test_a_bad_file_is_told_and_the_page_goes_on(name, visitor, tmp_path):
    good, bad = picture(tmp_path / "good.png", 100), tmp_path / name
    contents = {"broken.png": good.read_bytes()[:500], "text.jpg": b"no picture at all"}
    contents["big.png"] = bytes(2**20 + 1)
    if name == "wide.png":
        write(bad, Photo(torch.zeros(3, 400, 400)))
    else:
        bad.write_bytes(contents[name])
    visitor.upload(bad)
    message = {
        "broken.png": "broken.png: the file is truncated; copy or download it again",
        "text.jpg": "text.jpg: not a PNG, JPEG or TIFF file; convert it to PNG",
        "wide.png": "wide.png: ",
    }
    if name == "big.png":
        visitor.shows("exceed the maximum allowed size")
    else:
        assert "/" not in visitor.told(message[name])
    visitor.restore()
    visitor.told("there is no photo yet: upload one or pick a sample")
    visitor.upload(good)
    visitor.told("good.png: 64×48 pixels")


def test_a_sample_and_a_kernel(visitor, tmp_path):
    visitor.find("input[type=radio][value=coffee]")[0].click()
    visitor.told("coffee: a quarter of its light")
    np.save(tmp_path / "minus.npy", -np.ones((3, 5)))
    visitor.give_kernel(tmp_path / "minus.npy")
    assert "/" not in visitor.told("minus.npy: the values of a kernel must be finite, not negative")


def test_a_model_that_fails_fails_alone(visitor, tmp_path):
    visitor.upload(picture(tmp_path / "good.png", 100))
    visitor.told("good.png: 64×48 pixels")
    for model, drawn, message in (
        ("acme-raise", "It gives up.", "acme-raise failed (SystemExit: <b>acme</b> gave up)"),
        ("acme-exit", "of acme-exit 1.0", "of acme-exit 1.0"),
        ("era", "ErA", "era is a learned model and no trained weights are installed"),
    ):
        visitor.choose(model)
        visitor.shows(drawn)
        visitor.restore()
        visitor.told(message)
    visitor.find("input[type=checkbox]")[-1].click()
    visitor.restore()
    visitor.told("good.png restored by era")


def test_two_visitors_see_their_own(server, visitor, tmp_path):
    one, two = visitor, Visitor(server[0], tmp_path / "profile")
    try:
        both = ((one, 100), (two, 200))
        for here, row in both:
            here.upload(picture(tmp_path / f"row {row}.png", row))
        for here, row in both:
            here.told(f"row {row}.png: 64×48")
        one.restore()
        two.restore()
        links = {}
        for here, row in both:
            here.told(f"row {row}.png restored by jude-classic")
            links[row], data = download(here)
            (tmp_path / "got.png").write_bytes(data)
            with torch.inference_mode():
                photo = read(tmp_path / f"row {row}.png").image[None]
                expected = unfold.create_model("jude-classic").eval()(photo).image[0]
            assert (read(tmp_path / "got.png").image - expected).abs().max() < 0.6 / 255
            assert f"row {300 - row}" not in here.driver.page_source
        # The other's link with one's own name, and names that lead elsewhere.
        for wrong in (
            links[100].replace("row%20100", "row%20200"),
            f"{server[0]}/restored/..%2f..%2fetc/passwd",
            f"{server[0]}/gradio_api/file={server[2]}/sockets.txt",
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(wrong)
            assert refused.value.code in (403, 404)
        (folder,) = (server[2] / "tmp").glob("unfold-app-*")
        assert len(list(folder.glob("*/*-restored.png"))) == 2
        two.leave()
        one.until(lambda: len(list(folder.glob("*/*-restored.png"))) == 1)
        assert download(one)[0] == links[100]
    finally:
        two.leave()


def test_nothing_is_left_behind(server):
    _, process, folder = server
    assert list((folder / "tmp").iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert list(Path(folder / "tmp").iterdir()) == []
