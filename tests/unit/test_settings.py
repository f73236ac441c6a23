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

    def test_unknown_name_in_the_file(self, config: Path) -> None:
        assert refused(config, {"prot": 1}).startswith("PROT: ")


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
        assert (spec.label, spec.licence) == ("agn-v2 2.0.0", "Apache-2.0")


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
