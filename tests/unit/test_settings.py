"""Where settings come from, and that a wrong one is named in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from age_gender.errors import SettingsError
from age_gender.settings import FUNCTION_DIR, REPLACED_MODELS, Settings, load_settings
from age_gender.vision.model_spec import load_spec

SECRET = "correct horse battery staple"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def loaded(config: Path, written: dict[str, Any] | None = None, **environ: str) -> Settings:
    if written is not None:
        config.write_text(json.dumps(written))
    return load_settings(config, environ)


def refused(config: Path, written: dict[str, Any] | None = None, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(config, written, **environ)
    message = str(caught.value)
    assert "\n" not in message
    assert "Value error" not in message  # pydantic's word for what our own checks say
    assert caught.value.message == message
    return message


class TestPrecedence:
    def test_defaults_where_there_is_no_file(self, config: Path) -> None:
        settings = loaded(config)
        assert settings == Settings()
        assert (settings.port, settings.engine, settings.gpu, settings.gpu_fraction) == (
            *(8080, "litert"),
            *(False, 0.25),
        )
        assert (settings.basic_auth_username, settings.basic_auth_password) == ("sugar", "kubes")

    def test_file_over_defaults(self, config: Path) -> None:
        settings = loaded(config, {"port": 9000})
        assert (settings.port, settings.log) == (9000, "info")

    def test_environment_over_file(self, config: Path) -> None:
        settings = loaded(config, {"port": 9000, "log": "debug"}, PORT="9001")
        assert (settings.port, settings.log) == (9001, "debug")

    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_every_setting_has_a_variable(self, config: Path, name: str) -> None:
        """Each default, written as text, is read back from the environment."""
        value = getattr(Settings(), name)
        if value is None or isinstance(value, tuple):
            value = ",".join(value or ())
        text = str(value)
        assert loaded(config, None, **{name.upper(): text}) == Settings()

    def test_empty_variable_counts_as_unset(self, config: Path) -> None:
        settings = loaded(config, {"port": 9000}, PORT="", BASIC_AUTH_PASSWORD="", GPU="")
        assert settings.port == 9000
        assert settings.uses_default_password

    def test_variables_of_others_do_not_matter(self, config: Path) -> None:
        assert loaded(config, None, PATH="/bin", port="1", AGE_GENDER_PORT="2") == Settings()

    def test_the_file_that_is_delivered_holds_the_defaults(self) -> None:
        assert load_settings(FUNCTION_DIR / "config.json", {}) == Settings()

    def test_process_environment_is_the_default(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PORT", "8181")
        assert load_settings(config).port == 8181

    def test_frozen(self) -> None:
        with pytest.raises(ValidationError):
            Settings().port = 1


class TestValues:
    @pytest.mark.parametrize("text", ["True", "true", "1", "yes"])
    def test_gpu_on(self, config: Path, text: str) -> None:
        assert loaded(config, None, GPU=text).gpu is True

    @pytest.mark.parametrize("text", ["False", "false", "0", "no"])
    def test_gpu_off(self, config: Path, text: str) -> None:
        assert loaded(config, {"gpu": True}, GPU=text).gpu is False

    @pytest.mark.parametrize("text", ["0.01", "0.25", "1", "1.0"])
    def test_gpu_fraction(self, config: Path, text: str) -> None:
        assert loaded(config, None, GPU_FRACTION=text).gpu_fraction == float(text)

    @pytest.mark.parametrize("name", ["port", "url_timeout", "annotate_min_face"])
    def test_a_boolean_is_no_number(self, config: Path, name: str) -> None:
        message = refused(config, {name: True})
        assert message == f"{name.upper()}: Input should be a number, not true or false (got True)"

    def test_a_required_gpu_must_be_used(self, config: Path) -> None:
        assert loaded(config, None, GPU="true", GPU_REQUIRED="true").gpu_required
        assert "set gpu to true" in refused(config, None, GPU_REQUIRED="true")

    def test_buckets_are_split_at_commas(self, config: Path) -> None:
        assert loaded(config, None, GCS_BUCKETS=" a-b , c,,").gcs_buckets == ("a-b", "c")
        assert loaded(config, {"gcs_buckets": ["a", "b"]}).gcs_buckets == ("a", "b")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "0"),
            ("PORT", "65536"),
            ("PORT", "http"),
            ("PORT", "80.5"),
            ("LOG", "loud"),
            ("AUTH", "none"),
            ("GPU", "maybe"),
            ("GPU_FRACTION", "0"),
            ("GPU_FRACTION", "-0.1"),
            ("GPU_FRACTION", "1.01"),
            ("GPU_FRACTION", "nan"),
            ("GPU_FRACTION", "a quarter"),
            ("ENGINE", "onnx"),
            ("INFERENCE_THREADS", "-1"),
            ("ATTRIBUTE_MODEL", "../secrets"),
            ("MAX_BODY_BYTES", "0"),
            ("MAX_PIXELS", "-5"),
            ("MAX_IN_FLIGHT", "-1"),
            ("QUEUE_TIMEOUT", "0"),
            ("QUEUE_TIMEOUT", "inf"),
            ("QUEUE_TIMEOUT", "nan"),
            ("URL_TIMEOUT", "inf"),
            ("URL_MAX_REDIRECTS", "100"),
        ],
    )
    def test_wrong_value_is_named(self, config: Path, name: str, value: str) -> None:
        message = refused(config, None, **{name: value})
        assert message.startswith(f"{name}: ")
        assert repr(value) in message

    def test_all_wrong_values_are_named(self, config: Path) -> None:
        message = refused(config, {"log": "loud"}, PORT="x")
        assert "PORT: " in message
        assert "LOG: " in message


class TestOldFiles:
    """Files that were written for the predecessor."""

    @pytest.mark.parametrize(
        ("given", "level"),
        [(False, "warning"), (True, "info"), ("False", "warning"), ("INFO", "info")],
    )
    def test_log_may_be_a_switch(self, config: Path, given: object, level: str) -> None:
        assert loaded(config, {"log": given}).log == level
        assert loaded(config, None, LOG=str(given)).log == level

    def test_none_is_no_gpu(self, config: Path) -> None:
        assert loaded(config, None, GPU="None").gpu is False
        assert loaded(config, {"gpu": None}).gpu is False

    @pytest.mark.parametrize("name", ["Fast", "Accurate"])
    def test_detectors_in_any_case(self, config: Path, name: str) -> None:
        settings = loaded(config, {"annotate_face_detector": name}, DEFAULT_FACE_DETECTOR=name)
        assert settings.annotate_face_detector == settings.default_face_detector == name.lower()

    def test_unknown_names_are_logged_and_ignored(
        self, config: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = loaded(config, {"prot": 1, "model_path": SECRET, "port": 9000})
        assert settings == Settings(port=9000)
        model, prot = (record.getMessage() for record in caplog.records)
        assert "'prot' is no setting and is ignored; did you mean 'port'?" in prot
        assert "'model_path' is no setting" in model
        assert SECRET not in caplog.text

    def test_the_old_place_overrides_ours(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.write_text(json.dumps({"port": 9000, "log": "debug"}))
        monkeypatch.setattr("age_gender.settings.CONFIG_FILE", config)
        old = tmp_path / "old.json"
        monkeypatch.setattr("age_gender.settings.OLD_CONFIG_FILE", old)
        assert load_settings(environ={}).port == 9000
        old.write_text(json.dumps({"port": 9001}))
        settings = load_settings(environ={})
        assert (settings.port, settings.log) == (9001, "debug")
        assert load_settings(environ={"PORT": "9002"}).port == 9002
        old.write_text("port = 9001")
        with pytest.raises(SettingsError, match="cannot be read as JSON"):
            load_settings(environ={})


class TestReplacedModels:
    @pytest.mark.parametrize("name", REPLACED_MODELS)
    def test_an_old_name_is_refused_and_the_new_ones_are_named(
        self, config: Path, name: str
    ) -> None:
        message = refused(config, ATTRIBUTE_MODEL=name)
        assert f"{name} no longer exists" in message
        assert "agn-v2, the default, replaces agn-v1-ccby" in message
        assert "agn-v2-research, for non-commercial research only, replaces agn-v1" in message

    def test_the_default_is_free_for_commercial_use(self, config: Path) -> None:
        spec = load_spec(Settings().models_dir, loaded(config).attribute_model)
        assert (spec.label, spec.licence) == ("agn-v2 2.1.0", "Apache-2.0")


class TestFile:
    @pytest.mark.parametrize(
        "content", [b"", b"{", b"port: 80", b'{"port": 1,}', b'\xff\xfe{"port": 1}']
    )
    def test_not_json(self, config: Path, content: bytes) -> None:
        config.write_bytes(content)
        assert refused(config).startswith("config.json cannot be read as JSON")

    @pytest.mark.parametrize("content", ["[]", "null", "8080", '"port"'])
    def test_not_an_object(self, config: Path, content: str) -> None:
        config.write_text(content)
        assert refused(config) == "config.json must hold one JSON object"

    def test_a_folder_in_its_place(self, config: Path) -> None:
        config.mkdir()
        assert "config.json cannot be read" in refused(config)

    def test_broken_file_does_not_give_its_password_away(self, config: Path) -> None:
        config.write_text(f'{{"basic_auth_password": "{SECRET}", }}')
        assert SECRET not in refused(config)


class TestPassword:
    @pytest.mark.defends("leaked-secret")
    def test_not_in_repr_or_str(self, config: Path) -> None:
        settings = loaded(config, None, BASIC_AUTH_PASSWORD=SECRET)
        assert settings.basic_auth_password == SECRET
        assert SECRET not in repr(settings)
        assert SECRET not in str(settings)

    @pytest.mark.parametrize("value", [[SECRET], {"is": SECRET}, 20_011_117])
    def test_not_in_an_error_of_its_own(self, config: Path, value: object) -> None:
        message = refused(config, {"basic_auth_password": value})
        assert message.startswith("BASIC_AUTH_PASSWORD: ")
        assert SECRET not in message
        assert "20011117" not in message

    def test_not_in_an_error_of_another(self, config: Path) -> None:
        message = refused(config, {"basic_auth_password": SECRET}, AUTH="off", PORT="x")
        assert SECRET not in message

    def test_not_in_the_error_about_weak_ones(self, config: Path) -> None:
        message = refused(config, {"basic_auth_username": SECRET}, REQUIRE_STRONG_AUTH="1")
        assert SECRET not in message
        assert "kubes" not in message

    def test_empty_is_refused_in_the_file(self, config: Path) -> None:
        assert refused(config, {"basic_auth_password": ""}).startswith("BASIC_AUTH_PASSWORD: ")

    @pytest.mark.defends("published-password")
    def test_strong_auth_needs_a_password_of_its_own(self, config: Path) -> None:
        message = refused(config, None, REQUIRE_STRONG_AUTH="true")
        assert "require_strong_auth" in message
        assert "basic_auth_password" in message

    def test_strong_auth_needs_auth(self, config: Path) -> None:
        refused(config, None, REQUIRE_STRONG_AUTH="1", BASIC_AUTH_PASSWORD=SECRET, AUTH="off")

    def test_strong_auth_with_one(self, config: Path) -> None:
        settings = loaded(config, None, REQUIRE_STRONG_AUTH="1", BASIC_AUTH_PASSWORD=SECRET)
        assert settings.require_strong_auth
        assert not settings.uses_default_password


class TestAuth:
    KEY = "k" * 16

    @pytest.mark.parametrize(
        "text",
        [
            f"a={KEY}, b=me:p=ss",
            f"a={KEY}\n\n b = me:p=ss ,",
            json.dumps({"a": KEY, "b": "me:p=ss"}),
        ],
    )
    def test_ways_to_write_keys(self, config: Path, text: str) -> None:
        settings = loaded(config, None, AUTH="keys", AUTH_KEYS=text)
        assert [(key.name, key.secret) for key in settings.auth_keys] == [
            ("a", self.KEY),
            ("b", "me:p=ss"),
        ]
        assert self.KEY not in repr(settings)
        assert loaded(config, {"auth": "keys", "auth_keys": {"a": self.KEY}}).auth == "keys"

    @pytest.mark.parametrize(
        "text",
        [
            *(SECRET, f"a={SECRET},a=other", f"a b={SECRET}", "a="),
            *(f'{{"a": {SECRET}}}', "{}", ","),
            *(f"a={SECRET}:", f"a=:{SECRET}", "a=:"),
        ],
    )
    def test_wrong_keys_are_refused_unshown(self, config: Path, text: str) -> None:
        message = refused(config, None, AUTH="keys", AUTH_KEYS=text)
        assert "auth_keys" in message.lower()
        assert SECRET not in message

    @pytest.mark.defends("published-password")
    @pytest.mark.parametrize("keys", ["a=short", "a=sugar:kubes", f"b={KEY},a=short"])
    def test_strong_auth_refuses_weak_keys(self, config: Path, keys: str) -> None:
        strong = {"REQUIRE_STRONG_AUTH": "true", "AUTH": "keys"}
        assert "auth_keys a " in refused(config, None, AUTH_KEYS=keys, **strong)
        assert loaded(config, None, AUTH_KEYS=f"a={self.KEY}", **strong).require_strong_auth

    def test_iam_is_refused_in_public(self, config: Path) -> None:
        assert "public_access" in refused(config, None, AUTH="iam", PUBLIC_ACCESS="true")
        strong = loaded(config, None, AUTH="iam", REQUIRE_STRONG_AUTH="true")
        assert strong.public_access is None


class TestOrigins:
    def test_written_with_commas(self, config: Path) -> None:
        text = "https://A.example.com/, http://[::1]:3000,*"
        expected = ("https://a.example.com", "http://[::1]:3000", "*")
        assert loaded(config, None, CORS_ORIGINS=text).cors_origins == expected

    def test_default_ports_are_left_out_as_browsers_do(self, config: Path) -> None:
        text = (
            "https://a.com:443,http://b.com:80,https://c.com:80,http://[::1]:80,http://d.com:8080"
        )
        assert loaded(config, None, CORS_ORIGINS=text).cors_origins == (
            *("https://a.com", "http://b.com", "https://c.com:80", "http://[::1]"),
            "http://d.com:8080",
        )

    @pytest.mark.parametrize("text", ["example.com", "null", "https://a.com/x", "https://*.a.com"])
    def test_what_is_no_origin(self, config: Path, text: str) -> None:
        assert "CORS_ORIGINS" in refused(config, None, CORS_ORIGINS=text)
