"""Who may call: HTTP Basic, Bearer keys, and whom the platform lets through."""

import base64
import hmac
import logging
import math
import time
from contextlib import suppress
from hashlib import sha256

import pytest

from age_gender.edge import auth
from age_gender.edge.problems import Problem
from age_gender.errors import SettingsError
from age_gender.settings import Settings

SETTINGS = Settings(basic_auth_username="käthe", basic_auth_password="p:ß wörd")


def basic(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(raw).decode()


def bearer(key: str) -> str:
    return f"Bearer {key}"


def asking(header: str, peer: str = "203.0.113.9", forwarded: str = "") -> dict[str, str]:
    """The environment of a request."""
    return {
        "HTTP_AUTHORIZATION": header,
        "REMOTE_ADDR": peer,
        **({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}),
    }


OLD, NEW = "old-" + "k" * 20, "new-" + "k" * 20


def with_keys(keys: str) -> Settings:
    return Settings.model_validate({"auth": "keys", "auth_keys": keys})


KEYS = with_keys(f"app-2025={OLD}, app-2026={NEW}\nann=ann:her:password")
RIGHT = basic("käthe:p:ß wörd")


@pytest.mark.parametrize(
    "header", [RIGHT, RIGHT.replace("Basic", "basic"), RIGHT.replace("Basic ", "BASIC   ")]
)
def test_right_credentials(header: str) -> None:
    auth.Credentials(SETTINGS).check(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        RIGHT.removeprefix("Basic "),
        RIGHT.replace("Basic", "Bearer"),
        RIGHT + "=",
        RIGHT + "AAAA",
        RIGHT[:-4],
        RIGHT.replace("Basic ", "Basic\t"),
        basic("käthe:p:ß wörd "),
        basic("käthe:p"),
        basic("käthe:"),
        basic("käthe"),
        basic(":p:ß wörd"),
        basic(":"),
        basic(""),
        basic("Käthe:p:ß wörd"),
        basic("käthe:p:ß wörd".encode("latin-1")),
        basic(b"\xff\xfe\x00"),
        "Basic " + "käthe:p:ß wörd",
        "Basic !!!!",
        "Basic \u2603",
        "Basic " + "A" * 1_000_000,
    ],
)
def test_wrong_credentials(header: str | None) -> None:
    with pytest.raises(Problem) as caught:
        auth.Credentials(SETTINGS).check(header)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert SETTINGS.basic_auth_password not in caught.value.detail


def test_default_credentials() -> None:
    auth.Credentials(Settings()).check(basic("sugar:kubes"))


@pytest.mark.defends("timing")
def test_comparison_is_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", spy)
    with pytest.raises(Problem):
        auth.Credentials(SETTINGS).check(basic("somebody:else"))
    auth.Credentials(SETTINGS).check(RIGHT)
    expected = sha256("basic käthe:p:ß wörd".encode()).digest()
    assert compared == [(sha256(b"basic somebody:else").digest(), expected), (expected, expected)]


@pytest.mark.defends("timing")
def test_every_key_is_compared_even_after_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", spy)
    credentials = auth.Credentials(KEYS)
    counts = []
    for header in (bearer(NEW), bearer(OLD), basic("ann:her:password"), "Bearer nonsense"):
        compared.clear()
        with suppress(Problem):
            credentials.check(header)
        counts.append(len(compared))
    assert len(set(counts)) == 1
    assert counts[0] >= len(KEYS.auth_keys)


@pytest.mark.defends("wrong-passwords")
def test_many_mistakes_are_counted_and_delayed_and_right_ones_are_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = auth.Guard(SETTINGS)
    delays = []
    for _ in range(auth.FREE_MISTAKES + 5):
        with pytest.raises(Problem) as caught:
            guard.check(asking(basic("somebody:else")))
        delays.append(caught.value.delay)
        assert guard.check(asking(RIGHT)) == "basic"
    assert delays[: auth.FREE_MISTAKES] == [0.0] * auth.FREE_MISTAKES
    assert delays[-1] == auth.DELAY_SECONDS
    assert len(caplog.records) == 1
    monkeypatch.setattr(time, "monotonic", lambda: math.inf)
    guard.tick()
    counts = [record.fields["counts"] for record in caplog.records]  # type: ignore[attr-defined]
    assert counts == [{"203.0.113.9": 1}, {"203.0.113.9": auth.FREE_MISTAKES + 4}]
    assert "else" not in caplog.text


def test_missing_credentials_are_no_mistake() -> None:
    """Browsers ask without them first."""
    guard = auth.Guard(SETTINGS)
    for _ in range(2 * auth.FREE_MISTAKES):
        with pytest.raises(Problem) as caught:
            guard.check({})
        assert caught.value.delay == 0


@pytest.mark.parametrize("header", [None, "nonsense", RIGHT])
def test_off(header: str | None) -> None:
    assert auth.Credentials(Settings(auth="off")).check(header) == ""


@pytest.mark.defends("published-password")
@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (Settings(auth="off"), "AUTH=off"),
        (Settings(), "DEFAULT PASSWORD"),
        (Settings(basic_auth_username="me"), "DEFAULT PASSWORD"),
        (SETTINGS, None),
        (with_keys("a=short"), "could be guessed: a"),
        (with_keys(f"a={'x' * 16}"), None),
        (Settings(auth="iam"), "PUBLIC_ACCESS=false"),
        (Settings(auth="iam", public_access=False), None),
        (SETTINGS.model_copy(update={"auth_keys": KEYS.auth_keys}), "set AUTH=keys"),
    ],
)
def test_warning_at_start(
    settings: Settings,
    warning: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "age_gender"):
        auth.warn_if_open(settings)
    if warning is None:
        assert not caplog.records
    else:
        assert warning in caplog.text
        assert caplog.records[0].levelno >= logging.WARNING


class TestKeys:
    @pytest.mark.parametrize(
        ("header", "name"),
        [
            (bearer(OLD), "app-2025"),
            (bearer(NEW), "app-2026"),
            (f"bearer  {NEW} ", "app-2026"),
            (basic("ann:her:password"), "ann"),
            (basic(f"app-2026:{NEW}"), "app-2026"),
        ],
    )
    def test_each_is_taken_and_named(self, header: str, name: str) -> None:
        assert auth.Credentials(KEYS).check(header) == name

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            NEW,
            f"Basic {NEW}",
            bearer(NEW[:-1]),
            bearer(NEW + "k"),
            bearer(NEW.upper()),
            bearer("ann:her:password"),
            bearer("app-2026"),
            basic(f"app-2025:{NEW}"),
            basic("sugar:kubes"),
            basic(NEW),
            bearer("\u2603"),
        ],
    )
    def test_nothing_else(self, header: str | None) -> None:
        with pytest.raises(Problem) as caught:
            auth.Credentials(KEYS).check(header)
        assert caught.value.status == 401
        assert "Bearer realm=" in caught.value.headers["WWW-Authenticate"]
        assert NEW not in caught.value.detail

    def test_pairs_alone_are_not_asked_for_as_bearer_keys(self) -> None:
        settings = Settings.model_validate({"auth": "keys", "auth_keys": {"ann": "ann:pass,word"}})
        credentials = auth.Credentials(settings)
        assert credentials.check(basic("ann:pass,word")) == "ann"
        with pytest.raises(Problem) as caught:
            credentials.check(None)
        assert "Bearer" not in caught.value.headers["WWW-Authenticate"]


@pytest.mark.defends("forged-address")
@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("8.8.8.8", "", "8.8.8.8"),
        ("8.8.8.8", "1.1.1.1", "8.8.8.8"),  # a client that says so itself
        ("169.254.1.1", "9.9.9.9, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("::1", "2001:4860:1:2:3:4:5:6", "2001:4860:1:2::/64"),
        ("", "1.1.1.1", ""),
    ],
)
def test_whom_the_log_names(peer: str, forwarded: str, address: str) -> None:
    assert auth.client_address(asking("", peer, forwarded)) == address


class TestIam:
    """Cloud Run checks callers, so the service takes them all, and must not be public."""

    @pytest.mark.parametrize("header", [None, "Bearer a.token.SIGNATURE_REMOVED_BY_GOOGLE"])
    def test_takes_what_the_platform_lets_through(self, header: str | None) -> None:
        settings = Settings(auth="iam", public_access=False)
        assert auth.Credentials(settings).check(header) == ""

    @pytest.mark.defends("public-iam")
    @pytest.mark.parametrize(
        ("public", "environ", "starts"),
        [
            (None, {"K_SERVICE": "age-gender"}, True),
            (None, {}, False),
            (False, {}, True),
        ],
    )
    def test_starts_where_callers_are_checked(
        self, public: bool | None, environ: dict[str, str], starts: bool
    ) -> None:
        settings = Settings(auth="iam", public_access=public)
        if starts:
            auth.check_reach(settings, environ)
        else:
            with pytest.raises(SettingsError, match="PUBLIC_ACCESS"):
                auth.check_reach(settings, environ)

    @pytest.mark.parametrize("mode", ["basic", "off"])
    def test_the_others_start_anywhere(self, mode: str) -> None:
        auth.check_reach(Settings.model_validate({"auth": mode}), {})
