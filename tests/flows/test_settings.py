"""Configuration: every variable documented, every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.settings import Settings, SettingsError

DOCS = Path(__file__).parents[2] / "docs" / "data-engineers.md"


@pytest.mark.parametrize("field", [name for name in Settings.__struct_fields__ if name != "kafka"])
def test_every_variable_is_documented(field: str) -> None:
    assert f"`UNDERTONE_{field.upper()}`" in DOCS.read_text()


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        pytest.param("UNDERTONE_EPOCH", "soon", "UNDERTONE_EPOCH: expected `float`, got `str`", id="wrong type"),
        pytest.param("UNDERTONE_EPOCH", "0", "UNDERTONE_EPOCH: expected `float` > 0.0", id="out of range"),
        pytest.param("UNDERTONE_START", "middle", "UNDERTONE_START: invalid enum value", id="no such choice"),
        pytest.param("UNDERTONE_BROKER", "x", "did you mean UNDERTONE_BROKERS?", id="misspelt"),
    ],
)
def test_a_mistake_names_its_variable(variable: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({variable: value})

    assert problem in str(raised.value)


def test_kafka_settings_pass_through() -> None:
    settings = Settings.from_env(
        {"UNDERTONE_KAFKA_SASL_USERNAME": "job", "UNDERTONE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    )

    assert settings.kafka == {"sasl.username": "job", "security.protocol": "SASL_SSL"}


def test_other_variables_do_not_matter() -> None:
    assert Settings.from_env({"PATH": "/bin"}) == Settings()
