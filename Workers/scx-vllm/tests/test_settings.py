"""Flags, and the command that starts vLLM with them."""

import pytest

from scx_vllm.command import plugins, split
from scx_vllm.settings import VARIABLE, Settings, SettingsError

TLS = ["--tls-cert", "c", "--tls-key", "k", "--tls-ca", "t"]


def test_defaults_and_values() -> None:
    settings = Settings.parse(["--listen", "unix:/tmp/a b"])
    assert settings.address.path == "/tmp/a b" and settings.sealed and settings.slice == 50
    assert Settings(**settings.as_values()) == settings
    other = Settings.parse(
        ["--listen", "tcp://0.0.0.0:7", *TLS, "--no-sealed", "--max-memory", "2.5", "--patience", "0"]
    )
    assert (other.tls_ca, other.sealed, other.max_memory, other.patience) == ("t", False, 2.5, 0.0)
    assert (other.address.host, other.address.port) == ("0.0.0.0", 7)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "--listen"),
        (["--listen", "http://x"], "--listen"),
        (["--listen", "tcp://0.0.0.0:7"], "--tls-cert"),
        (["--listen", "unix:a", "--max-tensor", "0"], "--max-tensor"),
        (["--listen", "unix:a", "--max-memory", "nan"], "--max-memory"),
        (["--listen", "unix:a", "--slice", "0"], "--slice"),
        (["--listen", "unix:a", "--patience", "51"], "--patience"),
        (["--listen", "unix:a", "--max-sessions", "many"], "--max-sessions"),
        (["--listen", "unix:a", "--weights", "int8"], "--weights"),
    ],
)
def test_wrong_flags_are_named_in_one_line(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.parse(flags)
    assert named in str(error.value) and "\n" not in str(error.value)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "--listen 'unix:/tmp/a b'")
    assert Settings.of_environment().address.path == "/tmp/a b"
    monkeypatch.setenv(VARIABLE, "--listen 'unix:")
    with pytest.raises(SettingsError, match=VARIABLE):
        Settings.of_environment()
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(SettingsError, match=VARIABLE):
        Settings.of_environment()


def test_command_divides_its_flags_from_those_of_vllm() -> None:
    assert split(["--listen", "unix:a", "--", "model", "--port", "1"]) == (
        ["--listen", "unix:a"],
        ["model", "--port", "1"],
    )
    for wrong in (
        ["--listen", "unix:a", "model"],
        ["--", "model"],
        ["--listen", "unix:a", "--", "m", "--worker-extension-cls=x"],
    ):
        with pytest.raises(SettingsError):
            split(wrong)


def test_list_of_plugins_keeps_the_others() -> None:
    assert plugins("other,scx") == "other,scx"
    assert plugins("other") == "other,scx"
    assert plugins("") == "scx"
    assert plugins(None).split(",")[-1] == "scx"
