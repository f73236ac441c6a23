"""Malicious clients, over real connections to the real server."""

import base64
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from age_gender.edge import server
from age_gender.settings import Settings
from age_gender.vision.detectors.registry import required_networks
from testing import attacks, photos
from testing.service import AUTHORIZATION, ROOT, Service, free_port

TIMEOUT = 100
"""Seconds until a test fails."""


@pytest.fixture(scope="module")
def portrait() -> bytes:
    return photos.resized("astronaut", 320, 320)


@contextmanager
def connection(service: Service) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=TIMEOUT) as made:
        yield made


def receive_all(made: socket.socket) -> bytes:
    """Receive until the server closes the connection."""
    received = bytearray()
    try:
        while piece := made.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def head(length: int | None, **headers: str) -> bytes:
    """The first line and headers of a prediction whose body is a picture."""
    given = {"Host": "x", "Authorization": AUTHORIZATION, "Content-Type": "image/jpeg", **headers}
    if length is not None:
        given["Content-Length"] = str(length)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    return "\r\n".join(["POST /predict HTTP/1.1", *lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def is_connected(process: psutil.Process, port: int) -> bool:
    """Whether a process holds an established connection to that port."""
    connections = process.net_connections("tcp")
    return any(c.raddr and c.raddr.port == port and c.status == "ESTABLISHED" for c in connections)


def large_picture(side: int) -> bytes:
    """A few hundred kilobytes that take seconds to process."""
    small = np.random.default_rng(0).integers(0, 256, (side // 40, side // 40, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((side, side)).save(stream, "JPEG")
    return stream.getvalue()


class TestInvalidRequests:
    @pytest.mark.defends("request-smuggling")
    @pytest.mark.parametrize(
        "data",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX\x00: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX y: z\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        ],
    )
    def test_are_refused(self, service: Service, data: bytes) -> None:
        with connection(service) as made:
            made.sendall(data)
            made.shutdown(socket.SHUT_WR)
            answer = receive_all(made)
        assert b"Traceback" not in answer
        assert not answer or b"application/problem+json" in answer
        assert not answer or status(answer) in {400, 401, 411, 414, 431, 501, 505}
        assert service.get("/health").status_code == 200

    @pytest.mark.defends("endless-request-line")
    def test_first_line_without_end(self, service: Service) -> None:
        """It must not be kept in memory for as long as the client sends."""
        sent = 0
        with connection(service) as made:
            try:
                made.sendall(b"GET /")
                while sent < 200 << 20:
                    made.sendall(bytes(1 << 20).replace(b"\0", b"x"))
                    sent += 1 << 20
            except OSError:
                pass
        assert sent < 50 << 20


class TestBodies:
    @pytest.mark.defends("broken-chunks")
    @pytest.mark.parametrize(
        "chunks", [b"5\r\nab", b"ffff\r\nabc", b"zz\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b""]
    )
    def test_chunks_that_break_off(self, service: Service, chunks: bytes) -> None:
        with connection(service) as made:
            made.sendall(head(None, Transfer_Encoding="chunked", Connection="close") + chunks)
            made.shutdown(socket.SHUT_WR)
            answer = receive_all(made)
        assert status(answer) == 400
        assert b'"incomplete-body"' in answer

    def test_chunked_without_length(self, service: Service, portrait: bytes) -> None:
        pieces = (portrait[i : i + 1000] for i in range(0, len(portrait), 1000))
        answer = service.post(data=pieces, headers={"Content-Type": "image/jpeg"})
        assert answer.status_code == 200

    @pytest.mark.defends("large-body")
    def test_40_megabytes(self, service: Service) -> None:
        answer = service.post(data=bytes(40_000_000), headers={"Content-Type": "image/jpeg"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")

    @pytest.mark.defends("many-bodies")
    def test_many_large_ones_are_not_all_kept(self, tmp_path: Path) -> None:
        with Service(tmp_path / "log") as service, ExitStack() as stack:
            worker = psutil.Process(service.process.pid).children()[0]
            before = worker.memory_info().rss
            clients = [stack.enter_context(connection(service)) for _ in range(12)]

            def send(made: socket.socket) -> None:
                with suppress(OSError):
                    made.sendall(head(30 << 20) + bytes(20 << 20))

            with ThreadPoolExecutor(len(clients)) as pool:
                list(pool.map(send, clients))
            assert worker.memory_info().rss - before < 200 << 20
            refused = 0
            for made in clients:
                made.settimeout(0.5)
                try:
                    refused += status(made.recv(1 << 16)) == 429
                except (OSError, IndexError):
                    continue
            assert refused > 0
            stack.close()
            assert service.get("/health").status_code == 200


class TestOneClient:
    """Cannot take the service from the others."""

    @pytest.mark.defends(
        "idle-connections", "slow-headers", "unauthorized-body", "unread-response", "held-bodies"
    )
    @pytest.mark.parametrize("attack", attacks.ATTACKS)
    def test_others_are_served(self, service: Service, portrait: bytes, attack: str) -> None:
        service.predict(portrait)
        with attacks.running(attack, service.port, seconds=60):
            time.sleep(2)  # until it has connected
            for _ in range(3):
                start = time.monotonic()
                assert requests.get(f"{service.url}/health", timeout=TIMEOUT).status_code == 200
                assert time.monotonic() - start < 2
                answer = service.post(data=portrait, headers={"Content-Type": "image/jpeg"})
                assert answer.status_code == 200
                time.sleep(0.3)

    @pytest.mark.defends("unauthorized-body")
    def test_a_body_without_credentials_is_not_taken(self, service: Service) -> None:
        chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        request = head(None, Authorization="Basic bm86bm8=", Transfer_Encoding="chunked")
        sent = 0
        with connection(service) as made:
            made.sendall(request)
            with suppress(OSError):
                while sent < 20 << 20:
                    sent += made.send(chunk)
        assert sent < 8 << 20  # most of it in the buffers of the connection

    @pytest.mark.defends("unauthorized-body")
    def test_expect_continue_is_not_answered_without_credentials(self, service: Service) -> None:
        for authorization, expected in ((AUTHORIZATION, b"100"), ("Basic bm86bm8=", b"401")):
            with connection(service) as made:
                made.sendall(head(10, Authorization=authorization, Expect="100-continue"))
                assert made.recv(1000).split(b" ")[1] == expected

    @pytest.mark.defends("wrong-passwords")
    def test_wrong_passwords(self, tmp_path: Path, portrait: bytes) -> None:
        """Are logged in few lines, and answered later than right ones."""
        with Service(tmp_path / "log") as service, ThreadPoolExecutor(8) as pool:
            service.predict(portrait)

            def guess(number: int) -> tuple[int, float]:
                start = time.monotonic()
                answer = service.post(data=portrait, auth=("sugar", f"wrong-{number}"))
                return answer.status_code, time.monotonic() - start

            guesses = pool.map(guess, range(40))
            assert (
                service.post(data=portrait, headers={"Content-Type": "image/jpeg"}).status_code
                == 200
            )
            found = list(guesses)
        assert {status for status, _ in found} == {401}
        assert sum(seconds > 0.9 for _, seconds in found) > 20
        lines = [line for line in lines_of(tmp_path / "log") if line["message"] == "failed logins"]
        assert 1 <= len(lines) < 10
        assert "wrong-" not in (tmp_path / "log").read_text()

    @pytest.mark.defends("forwarded-header")
    def test_header_that_moves_the_application(self, service: Service) -> None:
        answer = service.get("/health", headers={"SCRIPT_NAME": "/x"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")
        assert answer.headers["Content-Type"] == "application/problem+json"


class TestSlowClients:
    @pytest.mark.defends("slow-headers")
    def test_do_not_occupy_the_threads(self, tmp_path: Path) -> None:
        """More clients than threads, each sending a header without end."""
        with Service(tmp_path / "log") as service, ExitStack() as stack:
            made = [stack.enter_context(connection(service)) for _ in range(server.THREADS + 8)]
            ended = threading.Event()

            def drip() -> None:
                while not ended.is_set():
                    for one in made:
                        try:
                            one.send(b"GET / HTTP/1.1\r\nX: " if one in fresh else b"y")
                        except OSError:
                            continue
                        finally:
                            fresh.discard(one)
                    ended.wait(1)

            fresh = set(made)
            thread = threading.Thread(target=drip)
            thread.start()
            try:
                answer = requests.get(f"{service.url}/health", timeout=TIMEOUT)
            finally:
                ended.set()
                thread.join()
            assert answer.status_code == 200

    @pytest.mark.defends("unread-response")
    def test_that_never_read_their_answer_are_cut_off(self, service: Service) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3), np.uint8)
        data = photos.encoded(noise)
        path = b"/predict?get_attributes=false&draw=false&min_face=2000 "
        request = head(len(data), Connection="close").replace(b"/predict ", path) + data
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.settimeout(TIMEOUT)
            made.connect(("127.0.0.1", service.port))
            made.sendall(request)
            answer = made.recv(1000)
            assert status(answer) == 200
            expected = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            worker = psutil.Process(service.process.pid).children()[0]
            mine = made.getsockname()[1]
            end = time.monotonic() + TIMEOUT
            while is_connected(worker, mine):
                assert time.monotonic() < end, "the server still waits for its client"
                time.sleep(0.2)
            assert len(receive_all(made)) < expected

    @pytest.mark.defends("hang-up")
    def test_that_hang_up_cost_no_prediction(self, tmp_path: Path, portrait: bytes) -> None:
        log = tmp_path / "log"
        with (
            Service(log, MAX_IN_FLIGHT="1", QUEUE_TIMEOUT="90") as service,
            ThreadPoolExecutor(1) as pool,
        ):
            service.predict(portrait)
            worker = psutil.Process(service.process.pid).children()[0]
            before = worker.cpu_times().user
            first = pool.submit(service.predict, large_picture(5000), min_face=1)
            while worker.cpu_times().user < before + 0.3:  # until it is in flight
                assert not first.done()
                time.sleep(0.02)
            for _ in range(5):
                with connection(service) as made:
                    made.sendall(head(len(portrait)) + portrait)
            service.predict(portrait)  # waits behind them
            first.result(TIMEOUT)
        assert log.read_text().count('"predicted"') == 3


class TestShutdown:
    @pytest.mark.defends("shutdown")
    def test_what_was_accepted_is_answered(self, tmp_path: Path, portrait: bytes) -> None:
        """One picture is delivered late, another never."""
        asked, release = threading.Semaphore(0), threading.Event()

        def serve(listener: socket.socket) -> None:
            for _ in range(2):
                made, _ = listener.accept()
                threading.Thread(target=answer, args=(made,), daemon=True).start()

        def answer(made: socket.socket) -> None:
            with made:
                slow = b"slow" in made.recv(1 << 16)
                asked.release()
                assert release.wait(TIMEOUT)
                if not slow:
                    length = f"Content-Length: {len(portrait)}"
                    made.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode() + portrait)
                    return
                made.settimeout(TIMEOUT)
                made.recv(1)  # until the service gives up

        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            Service(tmp_path / "log", ALLOW_PRIVATE_URLS="true", URL_TIMEOUT="4") as service,
            ThreadPoolExecutor(2) as pool,
        ):
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            good, late = (
                pool.submit(service.post, json={"url": f"{address}/{name}"})
                for name in ("good", "slow")
            )
            for _ in range(2):
                assert asked.acquire(timeout=TIMEOUT)
            service.process.terminate()
            release.set()
            assert good.result(TIMEOUT).status_code == 200
            assert late.result(TIMEOUT).status_code == 504
            assert service.process.wait(TIMEOUT) == 0

    @pytest.mark.defends("shutdown-stuck")
    def test_a_client_that_never_ends_does_not_delay_it(self, tmp_path: Path) -> None:
        with Service(tmp_path / "log") as service, connection(service) as made:
            made.sendall(head(1000) + b"begun")
            time.sleep(0.5)
            service.process.terminate()
            assert service.process.wait(TIMEOUT) == 0


class TestFaults:
    def test_a_busy_port_is_one_line(self) -> None:
        with socket.create_server(("127.0.0.1", port := free_port())):
            service = Service(Path())
            service.port = port
            done = subprocess.run(
                service.command(),
                cwd=ROOT / "function",
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert lines == [
            f"cannot start: port {port} of 127.0.0.1: address already in use; "
            "choose another with --port or PORT"
        ]

    @pytest.mark.defends("decoder-crash")
    def test_a_worker_that_dies_is_replaced(self, tmp_path: Path, portrait: bytes) -> None:
        """As if a decoder had crashed."""
        with Service(tmp_path / "log") as service:
            before = service.predict(portrait)
            psutil.Process(service.process.pid).children()[0].send_signal(signal.SIGSEGV)
            end = time.monotonic() + TIMEOUT
            while True:
                try:
                    after = service.predict(portrait)
                    break
                except requests.ConnectionError:
                    assert time.monotonic() < end
                    time.sleep(0.1)
        assert after["faces"] == before["faces"]

    @pytest.mark.defends("damaged-model")
    def test_a_damaged_model_is_a_clear_503_and_restarts_nothing(
        self, tmp_path: Path, portrait: bytes
    ) -> None:
        models = tmp_path / "models"
        source = ROOT / "function" / "age_gender" / "models"
        shutil.copytree(source / "specs", models / "specs")
        for name in required_networks(Settings().attribute_model):
            (models / f"{name}.tflite").touch()
        with Service(tmp_path / "log", MODELS_DIR=str(models)) as service:
            worker = psutil.Process(service.process.pid).children()[0]
            for size in (0, 100, 1_000_000):
                for name in ("retinaface.tflite", "agn-v2.tflite"):
                    (models / name).write_bytes((source / name).read_bytes()[:size])
                answer = service.post(
                    params={"face_detector": "accurate"},
                    data=portrait,
                    headers={"Content-Type": "image/jpeg"},
                )
                assert (answer.status_code, answer.json()["code"]) == (503, "model-unavailable")
                assert "retinaface.tflite" in answer.json()["detail"]
                assert str(tmp_path) not in answer.text
            assert service.get("/health").status_code == 200
            assert psutil.Process(service.process.pid).children() == [worker]

    @pytest.mark.defends("damaged-model")
    def test_a_damaged_model_ends_the_command_with_an_exit_code(
        self, tmp_path: Path, portrait: bytes
    ) -> None:
        (tmp_path / "a.jpg").write_bytes(portrait)
        (tmp_path / "models").mkdir()
        done = subprocess.run(
            [sys.executable, "local_runner.py", "predict", str(tmp_path / "a.jpg")],
            cwd=ROOT,
            env={"MODELS_DIR": str(tmp_path / "models"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode not in (0, None)
        assert "make models" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.defends("open-files")
    def test_no_file_left_to_open(self, tmp_path: Path, portrait: bytes) -> None:
        with Service(tmp_path / "log") as service, ExitStack() as stack:
            service.predict(portrait)
            worker = psutil.Process(service.process.pid).children()[0]
            worker.rlimit(psutil.RLIMIT_NOFILE, (worker.num_fds() + 20, 4096))
            for _ in range(60):
                stack.enter_context(connection(service))
            time.sleep(1)
            stack.close()
            assert service.predict(portrait)["faces"]
            assert psutil.Process(service.process.pid).children() == [worker]


class TestLog:
    @pytest.mark.defends("decoder-log")
    def test_every_line_is_json_even_from_the_decoders(
        self, tmp_path: Path, portrait: bytes
    ) -> None:
        jpeg = bytearray(portrait)
        jpeg[len(jpeg) // 2 : len(jpeg) // 2 + 60] = bytes(range(60))
        png = bytearray(photos.encoded(photos.decoded(portrait), ".png"))
        png[60:90] = bytes(30)
        with Service(tmp_path / "log") as service:
            for data in (portrait, jpeg, png):
                service.post(
                    params={"face_detector": "accurate"},
                    data=bytes(data),
                    headers={"Content-Type": "image/x"},
                )
        lines = lines_of(tmp_path / "log")
        assert any(line["logger"] == "stderr" for line in lines)
        assert all(line["severity"] and line["message"] for line in lines)

    @pytest.mark.defends("leaked-secret")
    def test_no_secret_in_the_log_or_an_answer(self, tmp_path: Path, portrait: bytes) -> None:
        password = "correct-horse-battery"
        right, wrong = ("someone", password), ("someone", "wrong-" + password)
        encoded = [
            base64.b64encode(":".join(pair).encode()).decode().rstrip("=")
            for pair in (right, wrong)
        ]
        answers = []
        environment = {"BASIC_AUTH_USERNAME": "someone", "BASIC_AUTH_PASSWORD": password}
        with Service(
            tmp_path / "log", REQUIRE_STRONG_AUTH="true", LOG="debug", **environment
        ) as service:
            for pair in (right, wrong):
                for body in (portrait, b"", b"\xff\xd8\xff"):
                    answers.append(
                        service.post(data=body, auth=pair, headers={"Content-Type": "image/jpeg"})
                    )
                answers.append(service.post("/nowhere", json={}, auth=pair))
            answers += [service.get(path) for path in ("/", "/health", "/model", "/openapi.json")]
        assert [answer.status_code for answer in answers[:3]] == [200, 400, 415]
        assert answers[4].status_code == 401
        texts = [answer.text + str(answer.headers) for answer in answers]
        texts.append((tmp_path / "log").read_text())
        for text in texts:
            for secret in (password, *encoded):
                assert secret not in text
