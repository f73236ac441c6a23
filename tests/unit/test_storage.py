"""Both stores have the same contract; the bucket is on a real server."""

import os
import random
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from age_gender.batch.bucket_store import BucketStore
from age_gender.batch.folder_store import FolderStore
from age_gender.batch.location import Location, locate, prefixes_overlap, refuse_loop
from age_gender.batch.storage import (
    MARK,
    ObjectGone,
    ObjectTooLong,
    StorageUnavailable,
    Store,
    shortened,
)
from age_gender.errors import SettingsError
from testing.buckets import SOURCE, BucketServer, Proxy, emulated

TIMEOUT = 20.0
NAMES = ["plain.jpg", "a b/ü #1.jpg", "a/../../b", "//double", "100%25?x=1", "😀", "a/b/c/d"]


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as running:
        yield running


@pytest.fixture(params=["bucket", "folder"])
def store(request: pytest.FixtureRequest, server: BucketServer, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "inner" / "folder")
        return
    bucket = f"bucket-{random.randrange(10**12)}"
    server.client.create_bucket(bucket)
    with emulated(server.url):
        yield BucketStore(bucket, TIMEOUT)


def put(store: Store, name: str, data: bytes = b"data") -> None:
    assert store.create(name, data, "text/plain", {})


def test_a_created_object_is_listed_read_and_described(store: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for name in ("a.txt", "deep/er/ü #1.txt"):
        put(store, name, name.encode())
        (stored,) = store.list(name)
        assert (stored.name, stored.size, stored.ours) == (name, len(name.encode()), False)
        assert before < stored.created < datetime.now(UTC) + timedelta(seconds=2)
        assert abs(stored.generation / 1e6 - stored.created.timestamp()) < 2
        assert store.stat(name, stored.generation) == stored
        assert store.read(stored) == name.encode()
        assert store.find(name) == name.encode()


def test_one_of_several_writers_of_a_name_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        start = threading.Barrier(8)

        def create(i: int) -> bool:
            start.wait()
            return store.create("x/same.json", b"%d" % i * 1000, "text/plain", {})

        written = list(pool.map(create, range(8)))
    assert sum(written) == 1
    assert store.find("x/same.json") == b"%d" % written.index(True) * 1000


def test_a_missing_object_is_none_or_gone(store: Store) -> None:
    put(store, "there")
    assert store.find("missing") is None
    assert store.find("missing/deeper") is None
    (there,) = store.list("")
    for name, generation in (("missing", 1), ("there", there.generation - 1)):
        with pytest.raises(ObjectGone):
            store.read(replace(there, name=name, generation=generation))
        with pytest.raises(ObjectGone):
            store.stat(name, generation)


@pytest.mark.defends("forged-size")
def test_more_bytes_than_described_are_not_read(store: Store) -> None:
    put(store, "long", bytes(1 << 20))
    (stored,) = store.list("")
    tracemalloc.start()
    with pytest.raises(ObjectTooLong):
        store.read(replace(stored, size=10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 19


def test_listing_is_by_prefix_in_the_order_of_bytes(store: Store) -> None:
    names = [
        "a",
        "a.b",
        "a0",
        "a1/x",
        "b/c/d",
        "b/c.d",
        "b-",
        "B",
        "é",
        "z",
        "\uff5e",
        "\U0001f600",
    ]
    for name in names:
        put(store, name)
    assert [o.name for o in store.list("")] == sorted(names, key=str.encode)
    assert [o.name for o in store.list("b/c")] == ["b/c.d", "b/c/d"]
    assert list(store.list("nothing")) == []


@pytest.mark.parametrize("name", [*NAMES, "x" * 1024, "é" * 512, "folder/" + "長" * 339])
def test_any_name_can_be_a_result(store: Store, name: str) -> None:
    put(store, name, name.encode())
    assert store.find(name) == name.encode()
    assert not store.create(name, b"other", "text/plain", {})


def test_a_replaced_object_appears_complete_at_the_end(store: Store) -> None:
    for content in (b"one", b"two" * 1_000_000):
        before = store.find("m.jsonl")
        with store.replacing("m.jsonl", "text/plain") as file:
            file.write(content)
            assert store.find("m.jsonl") == before
        assert store.find("m.jsonl") == content
    for size in (1, 3_000_000):
        with suppress(ZeroDivisionError), store.replacing("m.jsonl", "text/plain") as file:
            file.write(b"x" * size)
            raise ZeroDivisionError
        assert store.find("m.jsonl") == content


def test_the_mark_identifies_our_objects(server: BucketServer) -> None:
    with emulated(server.url):
        store = BucketStore(SOURCE, TIMEOUT)
        store.create("mark/ours", b"", "text/plain", {MARK: "1"})
        store.create("mark/theirs", b"", "text/plain", {"other": "1"})
        assert [o.ours for o in store.list("mark/")] == [True, False]


@pytest.mark.parametrize("kind", ["download", "upload", "other"])
def test_a_failing_server_is_one_error_without_addresses(server: BucketServer, kind: str) -> None:
    with Proxy(server) as proxy, emulated(proxy.url):
        patient = BucketStore(SOURCE, TIMEOUT)
        patient.create("flaky", b"x", "text/plain", {})
        (stored,) = patient.list("flaky")
        proxy.failing[kind] = 503
        store = BucketStore(SOURCE, 0.3)
        with pytest.raises(StorageUnavailable) as caught:  # noqa: PT012 - one of them fails
            store.read(stored)
            store.create(f"flaky-{kind}", b"x", "text/plain", {})
            list(store.list(""))
        assert "503" in caught.value.message
        assert "127.0.0.1" not in caught.value.message


def test_an_account_that_may_not_replace_objects_notices_a_taken_name(server: BucketServer) -> None:
    with Proxy(server) as proxy, emulated(proxy.url):
        store = BucketStore(SOURCE, TIMEOUT)
        store.create("taken", b"x", "text/plain", {})
        proxy.failing["upload"] = 403
        assert not store.create("taken", b"y", "text/plain", {})
        with pytest.raises(StorageUnavailable, match="no permission"):
            store.create("free", b"y", "text/plain", {})
    assert proxy.count("upload", 403) == 2


def test_a_short_outage_is_bridged(server: BucketServer) -> None:
    with Proxy(server) as proxy, emulated(proxy.url):
        store = BucketStore(SOURCE, TIMEOUT)
        proxy.failing["upload"] = 503
        timer = threading.Timer(0.5, proxy.failing.clear)
        timer.start()
        assert store.create("outage", b"x", "text/plain", {})
        timer.join()
    assert proxy.count("upload", 503) >= 1


def test_no_server_at_all_is_unavailable() -> None:
    with emulated("http://127.0.0.1:9"):
        store = BucketStore(SOURCE, 0.2)
        for action in (lambda: store.find("x"), lambda: list(store.list(""))):
            with pytest.raises(StorageUnavailable):
                action()


def test_a_missing_bucket_is_unavailable(server: BucketServer) -> None:
    with emulated(server.url):
        store = BucketStore("never-created", TIMEOUT)
        with pytest.raises(StorageUnavailable):
            store.create("x", b"", "text/plain", {})
        with pytest.raises(StorageUnavailable):
            list(store.list(""))


def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="no such folder"):
        list(FolderStore(tmp_path / "missing").list(""))


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable) as caught:
        FolderStore(tmp_path / "file").create("x", b"", "text/plain", {})
    assert str(tmp_path) not in caught.value.message


def test_a_folder_lists_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "broken").symlink_to(tmp_path / "missing")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    assert [o.name for o in FolderStore(tmp_path).list("")] == ["file", "link"]


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("../x", "/x", "a/../../x", "b/..", "a/\0/x", "b/"):
        put(FolderStore(root), name)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert sum(1 for path in root.rglob("*") if path.is_file()) == 6


def test_a_changed_file_is_another_generation(tmp_path: Path) -> None:
    store, file = FolderStore(tmp_path), tmp_path / "file"
    file.write_bytes(b"old")
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    (stored,) = store.list("")
    assert stored.generation == 1_700_000_000_123_456
    assert stored.created == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    file.write_bytes(b"new")
    with pytest.raises(ObjectGone):
        store.read(stored)


def test_no_temporary_file_stays_in_the_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    put(store, "a/x")
    store.create("a/x", b"", "text/plain", {})
    with store.replacing("y", "text/plain"):
        pass
    with pytest.raises(ZeroDivisionError), store.replacing("z", "text/plain"):
        raise ZeroDivisionError
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "x", "y"]


def test_without_hard_links_names_are_still_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    store = FolderStore(tmp_path)
    assert store.create("x", b"one", "text/plain", {})
    assert not store.create("x", b"two", "text/plain", {})
    assert store.find("x") == b"one"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("gs://bucket", "gs://bucket/"),
        ("gs://bucket/", "gs://bucket/"),
        ("gs://bucket/a/b", "gs://bucket/a/b/"),
        ("gs://bucket/a/b/", "gs://bucket/a/b/"),
    ],
)
def test_addresses_name_buckets_and_their_folders(address: str, shown: str) -> None:
    assert str(locate(address, TIMEOUT)) == shown


def test_an_address_without_a_bucket_is_refused() -> None:
    with pytest.raises(SettingsError, match="names no bucket"):
        locate("gs:///a", TIMEOUT)


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    location = locate(str(tmp_path / "a" / ".." / "b"), TIMEOUT)
    assert isinstance(location.store, FolderStore)
    assert (location.store.root, location.store.label) == (tmp_path / "b", "b")


@pytest.mark.parametrize(
    ("source", "out", "refused"),
    [
        ("gs://a", "gs://b", False),
        ("gs://a", "gs://a", True),
        ("gs://a", "gs://a/out", True),
        ("gs://a/in", "gs://a/out", False),
        ("gs://a/in", "gs://a/in/out", True),
        ("gs://a/in/deep", "gs://a/in", True),
        ("gs://a/in", "gs://a/inner", False),
        ("x", "y", False),
        ("x", "x", True),
        ("x", "x/out", True),
        ("x/in", "x", True),
        ("x", "gs://x", False),
        ("gs://x", "x", False),
    ],
)
def test_overlapping_places_are_refused(source: str, out: str, refused: bool) -> None:
    pair = (locate(source, TIMEOUT), locate(out, TIMEOUT))
    if refused:
        with pytest.raises(SettingsError, match="would be taken for new pictures"):
            refuse_loop(*pair)
    else:
        refuse_loop(*pair)


def test_prefixes_are_compared_as_they_are() -> None:
    assert prefixes_overlap("20", "2026/")
    assert prefixes_overlap("", "x")
    assert not prefixes_overlap("in", "out")
    assert Location(BucketStore("a", 1), "in").overlaps(Location(BucketStore("a", 1), "inner/"))


def test_long_texts_are_cut_to_bytes_and_stay_distinct() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("é" * 50, 100) == "é" * 50
    one, other = (shortened("長" * 400 + end, 200) for end in "ab")
    assert one != other
    assert one.startswith("長長長")
    assert all(190 < len(text.encode()) <= 200 for text in (one, other))
