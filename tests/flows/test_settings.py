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
        pytest.param("UNDERTONE_TOPICS", "", "UNDERTONE_TOPICS names no topic", id="no topic"),
        pytest.param("UNDERTONE_TOPICS", " , ", "UNDERTONE_TOPICS names no topic", id="blanks for topics"),
        pytest.param("UNDERTONE_TOPICS", "a,b, a", "UNDERTONE_TOPICS names a topic twice", id="topic twice"),
        pytest.param("UNDERTONE_FEEDBACK_TOPIC", "", "UNDERTONE_FEEDBACK_TOPIC names no topic", id="no feedback topic"),
        pytest.param(
            "UNDERTONE_TOPICS",
            "undertone.events,undertone.dead_letters",
            "UNDERTONE_DEAD_LETTER_TOPIC names a topic of UNDERTONE_TOPICS",
            id="what it writes is what it reads",
        ),
        pytest.param(
            "UNDERTONE_ESCALATION_TOPIC",
            "undertone.feedback",
            "UNDERTONE_FEEDBACK_TOPIC names a topic of UNDERTONE_ESCALATION_TOPIC",
            id="one topic for two things",
        ),
        pytest.param("UNDERTONE_DEFAULT_REGION", "UK", "such as US, DE or GB (not UK)", id="no such region"),
        pytest.param("UNDERTONE_DEFAULT_REGION", "Germany", "UNDERTONE_DEFAULT_REGION: expected two", id="a name"),
        pytest.param("UNDERTONE_DEFAULT_REGION", "gb", "two capital letters", id="small letters"),
        pytest.param("UNDERTONE_DEFAULT_REGION", "", "UNDERTONE_DEFAULT_REGION: expected two", id="no region"),
        pytest.param("UNDERTONE_BROKER", "x", "did you mean UNDERTONE_BROKERS?", id="misspelt"),
    ],
)
def test_a_mistake_names_its_variable(variable: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({variable: value})

    assert problem in str(raised.value)


@pytest.mark.parametrize("secret", ["", "hunter2", "fifteen letters", " " * 40])
def test_a_secret_that_can_be_guessed_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(
        SettingsError, match=r"UNDERTONE_CUSTOMER_SECRET.*16 characters.*openssl rand -hex 32"
    ) as raised:
        Settings.from_env({"UNDERTONE_CUSTOMER_SECRET": secret})

    assert secret.strip() == "" or secret not in str(raised.value)


def test_a_secret_keeps_its_blanks() -> None:
    """They are part of the key: without them every customer would be a stranger."""
    secret = " sixteen letters and more\n"

    assert Settings.from_env({"UNDERTONE_CUSTOMER_SECRET": secret}).customer_secret == secret


def test_what_is_right_is_taken() -> None:
    settings = Settings.from_env({"UNDERTONE_TOPICS": "calls, chats,", "UNDERTONE_DEFAULT_REGION": "GB"})

    assert (settings.topic_list(), settings.default_region) == (("calls", "chats"), "GB")


def test_kafka_settings_pass_through() -> None:
    settings = Settings.from_env(
        {"UNDERTONE_KAFKA_SASL_USERNAME": "job", "UNDERTONE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    )

    assert settings.kafka == {"sasl.username": "job", "security.protocol": "SASL_SSL"}


def test_other_variables_do_not_matter() -> None:
    assert Settings.from_env({"PATH": "/bin"}) == Settings()
