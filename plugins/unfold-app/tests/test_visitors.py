"""The page under visitors who mean no good: requests as a program makes them, without a browser."""

import concurrent.futures
import contextlib
import http.server
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch

from unfold.imaging import Photo, read, write

httpx = pytest.importorskip("httpx")

PATIENCE = 120  # seconds: the machine may be busy
SECONDS = 6  # that a restoration may take
SLOW = (
    "import time\nfrom unfold.restorer import Restorer\n"
    "class Model(Restorer):\n    'It never ends.'\n    requires_training = False\n"
    "    def forward(self, image, *, kernel=None, history=None):\n"
    "        while True: time.sleep(0.01)\n"
    "    def explain(self): return ''\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running page: its address, its process, the folder for its temporary files."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "acme_slow.py").write_text(SLOW)
    info = folder / "acme_slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[unfold.models]\nacme-slow = acme_slow:Model\n")
    temporary = folder / "tmp"
    temporary.mkdir()
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    options = {
        "port": 0, "device": "cpu", "max-upload": 1, "max-pixels": 10_000, "max-stages": 10,
        "max-seconds": SECONDS,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "unfold", "app", *(f"--{k}={v}" for k, v in options.items())],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
    with Visitor(url) as first:  # (the first child process waits for its imports)
        first.upload(picture(temporary / "first.png", 0))
        first.restore("identity")
    (temporary / "first.png").unlink()
    yield url, process, temporary
    process.terminate()
    process.wait(PATIENCE)


class Visitor:
    """A session: what a browser sends, and what it is given."""

    def __init__(self, url):
        self.url, self.session = url, secrets.token_hex(6)
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, headers={"Origin": url})
        self.ranks = []  # its places in the queue, as it was given

    def __enter__(self):
        self.config = self.http.get("/config").json()
        self.beating = httpx.Client(base_url=self.url, timeout=PATIENCE)
        self.beat = self.beating.stream("GET", f"/gradio_api/heartbeat/{self.session}")
        self.beat.__enter__()
        return self

    def __exit__(self, *error):
        self.beat.__exit__(None, None, None)
        self.beating.close()
        self.http.close()

    def handler(self, event, number=0, among=None):
        """The ids of what the page does upon an event, and of what is then pressed."""
        found = [
            (d, target)
            for d in among or self.config["dependencies"]
            for target, name in d["targets"]
            if name == event
        ]
        return found[number]

    def call(self, dependency, data, target=None):
        """What a handler returns."""
        asked = {"fn_index": dependency["id"], "session_hash": self.session, "trigger_id": target}
        joined = self.http.post("/gradio_api/queue/join", json={"data": data, **asked})
        joined.raise_for_status()
        event = joined.json()["event_id"]
        with self.http.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as lines:
            for line in lines.iter_lines():
                told = json.loads(line[5:]) if line.startswith("data:") else {}
                if told.get("event_id") != event:
                    continue
                if told["msg"] == "estimation":
                    self.ranks.append(told["rank"])
                if told["msg"] == "process_completed":
                    return told["output"]
        raise AssertionError("the page did not answer")

    def send(self, path, name=None):
        return self.http.post(
            "/gradio_api/upload", files={"files": (name or path.name, path.read_bytes())}
        )

    def upload(self, path, name=None):
        """What the page says of a file."""
        (place,) = self.send(path, name).json()
        return self.choose({"path": place, "orig_name": name or path.name})

    def choose(self, file):
        dependency, target = self.handler("upload")
        made = self.call(dependency, [{**file, "meta": {"_type": "gradio.FileData"}}], target)
        return text(made)

    def restore(self, model, **options):
        """What the page says, and the link to the restored photo, if there is one."""
        drawing, target = self.handler("load")
        drawn = self.call(drawing, [model], target)["render_config"]
        parts = {c["id"]: c["props"] for c in (*self.config["components"], *drawn["components"])}
        press, button = self.handler("click", among=drawn["dependencies"])
        named = [(parts[i].get("label", ""), parts[i].get("value")) for i in press["inputs"]]
        data = [options.get(label.removesuffix(" (JSON)"), value) for label, value in named]
        made = self.call(press, data, button)
        link = re.search(r'href="(restored/[^"]+)"', str(made))
        return text(made), link and link[1]


def text(made):
    if "data" not in made:
        return str(made.get("error"))
    return re.sub("<[^>]+>", "", made["data"][0]).strip()


def picture(path, seed):
    generator = torch.Generator().manual_seed(seed)
    write(path, Photo(torch.rand(3, 24, 32, generator=generator)))
    return path


def hostile(folder):
    """Files that are no photos, or too much of one; name as uploaded -> file."""
    good = picture(folder / "good.png", 0).read_bytes()
    (folder / "cut").write_bytes(good[: len(good) // 2])
    (folder / "text").write_bytes(b"<script>alert(1)</script>")
    (folder / "npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes(100))
    write(folder / "wide.png", Photo(torch.zeros(3, 200, 200)))
    names = {"cut.png": "cut", "a.html": "text", "k.npy": "npy", "wide.png": "wide.png"}
    return {name: folder / file for name, file in names.items()}


def children(process):
    """Processes that restore: those that the server's own children have begun."""
    here = psutil.Process(process.pid)
    return [p for p in here.children(recursive=True) if p not in here.children()]


def left(temporary):
    """Files and folders of visitors, but for uploads, which go after a minute."""
    return [p for p in temporary.glob("unfold-app-*/*") if p.name != "uploads" and any(p.iterdir())]


def until(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def test_what_names_another_host_or_comes_from_elsewhere_is_refused(server):
    url = server[0]
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", ""):
        assert httpx.get(url, headers={"Host": host}).status_code == 400
    port = url.rpartition(":")[2]
    assert httpx.get(url, headers={"Host": f"localhost:{port}"}).status_code == 200
    for origin in ("http://evil.example", "null", f"{url}.evil.example", "http://127.0.0.1:1"):
        for method, route in (("GET", "/config"), ("POST", "/gradio_api/upload"),
                              ("POST", "/gradio_api/queue/join")):  # fmt: skip
            answer = httpx.request(method, url + route, headers={"Origin": origin})
            assert answer.status_code == 403, (origin, route)


def test_bodies_that_are_too_large_are_refused(server, tmp_path):
    url, _, temporary = server
    (tmp_path / "big.png").write_bytes(bytes(3 * 2**20))
    with Visitor(url) as visitor:
        assert visitor.send(tmp_path / "big.png").status_code == 413
    for route in ("/gradio_api/upload", "/gradio_api/queue/join"):
        # Announced, and never sent; announced falsely; not announced, and without end.
        for length in ("99999999999", "-1", "x"):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as wire:
                wire.settimeout(PATIENCE)
                head = f"POST {route} HTTP/1.1\r\nHost: {url[7:]}\r\nContent-Length: {length}"
                wire.sendall(f"{head}\r\n\r\n".encode())
                assert wire.recv(64).split()[1] in (b"400", b"413")
        endless = (bytes(2**16) for _ in range(2**12))
        kind = {"content-type": "multipart/form-data; boundary=x"}
        with contextlib.suppress(httpx.TransportError):  # the wire is cut while more comes
            assert httpx.post(url + route, content=endless, headers=kind).status_code in (400, 413)
    assert sum(p.stat().st_size for p in temporary.rglob("*") if p.is_file()) < 2**21


ROUTES = (
    "/restored/{}", "/restored/x/{}", "/gradio_api/file={}", "/gradio_api/file/{}",
    "/gradio_api/file=/proc/self/cwd/{}", "/static/{}", "/assets/{}", "/svelte/{}",
    "/gradio_api/stream/{}/x/x/x", "/gradio_api/proxy={}", "/custom_component/x/client/x/{}",
    "/gradio_api/upload_progress?upload_id={}", "/file={}", "/file/{}", "/{}",
)  # fmt: skip


def test_no_route_leads_out_of_the_visitors_files(server, tmp_path):
    url = server[0]
    (tmp_path / "secret.txt").write_text("the secret")
    outside = str(tmp_path / "secret.txt")
    up = "../" * 12 + outside.lstrip("/")
    ways = [outside, f"/{outside}", up, up.replace("../", "..%2f"), up.replace("../", "%2e%2e/"),
            up.replace("../", "....//"), up.replace("/", "\\"), f"file://{outside}",
            outside.replace("/", "%2f"), f"{outside}%00.png"]  # fmt: skip
    port = int(url.rpartition(":")[2])
    for route in ROUTES:
        for way in ways:
            # (By hand: clients tidy up a path.)
            with socket.create_connection(("127.0.0.1", port)) as wire:
                wire.settimeout(0.5)
                wire.sendall(
                    f"GET {route.format(way)} HTTP/1.0\r\nHost: {url[7:]}\r\n\r\n".encode()
                )
                answer = b""
                with contextlib.suppress(TimeoutError):  # events that are waited for
                    while (some := wire.recv(2**16)) and len(answer) < 2**20:
                        answer += some
            assert b"the secret" not in answer, (route, way)


def test_a_field_for_a_file_takes_neither_urls_nor_paths(server, tmp_path):
    url, _, _ = server
    asked = []

    class Watch(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *given):
            pass

    inside = http.server.HTTPServer(("127.0.0.1", 0), Watch)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    there = f"http://127.0.0.1:{inside.server_port}/photo.png"
    foreign = picture(tmp_path / "foreign.png", 1)
    try:
        with Visitor(url) as visitor:
            for file in (
                {"path": there}, {"path": there, "url": there}, {"path": "x.png", "url": there},
                {"path": str(foreign)}, {"path": f"file://{foreign}"}, {"path": "/etc/passwd"},
                {"path": "../../../../etc/passwd"}, {"path": ""},
            ):  # fmt: skip
                assert "pixels" not in visitor.choose(file), file
                assert visitor.restore("identity")[1] is None
    finally:
        inside.shutdown()
    assert asked == []


def test_a_restoration_without_end_is_ended(server, tmp_path):
    url, process, _ = server
    with Visitor(url) as visitor:
        visitor.upload(picture(tmp_path / "a.png", 0))
        said, link = visitor.restore("acme-slow")
        assert f"acme-slow: it was stopped after {SECONDS} seconds" in said
        assert link is None
        until(lambda: children(process) == [], 10)
        assert visitor.restore("identity")[1]  # the page goes on


def test_too_many_stages_are_refused(server, tmp_path):
    with Visitor(server[0]) as visitor:
        visitor.upload(picture(tmp_path / "a.png", 0))
        said, link = visitor.restore("tv-deblur", K=999)
        assert "999 stages, but this page allows 10" in said
        inner = '[{"kind": "tv-deblur", "K": 6}, {"kind": "tv-deblur", "K": 6}]'
        assert "12 stages, but this page allows 10" in visitor.restore("cascade", models=inner)[0]
        deep = '[{"kind": "cascade", "models": [{"kind": "era", "K": 900}]}]'
        assert "900 stages" in visitor.restore("cascade", models=deep)[0]
        assert link is None


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_many_visitors_at_once_and_nothing_is_left_of_them(count, server, tmp_path):
    url, process, temporary = server
    here = psutil.Process(process.pid)
    until(lambda: left(temporary) == [])
    before = here.memory_info().rss

    def visit(number):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        ranks = []
        with Visitor(url) as visitor:
            for name, file in hostile(folder).items():
                said = visitor.upload(file, name)
                assert said.startswith(f"{name}: ")
                assert "color" not in said
                assert str(temporary) not in said
            assert "no photo yet" in visitor.restore("identity")[0]
            if number % 4 == 3:
                visitor.upload(picture(folder / "slow.png", number))
                assert "was stopped after" in visitor.restore("acme-slow")[0]
            photo = picture(folder / f"photo {number}.png", 100 + number)
            assert "32×24 pixels" in visitor.upload(photo)
            said, link = visitor.restore("identity")
            assert f"photo {number}.png restored by identity" in said
            (folder / "got.png").write_bytes(visitor.http.get(f"/{link}").content)
            assert torch.equal(read(folder / "got.png").image, read(photo).image)
            ranks = visitor.ranks
        return link, ranks

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        visits = list(pool.map(visit, range(count)))
    # One is restored after the other, and who waits is given the place in the queue.
    assert max(rank for _, ranks in visits for rank in ranks) >= 1
    until(lambda: left(temporary) == [] and children(process) == [])
    for link, _ in visits:
        assert httpx.get(f"{url}/{link}").status_code == 404
    grown = here.memory_info().rss - before
    assert grown < 150 * 2**20, f"{grown / 2**20:.0f} MB more than before {count} visitors"
    if count > 3:  # uploads go after a minute
        until(lambda: not [p for p in temporary.rglob("uploads/**/*") if p.is_file()], 240)
