"""Settings name themselves when they are wrong, and show no secret."""

import pytest
from pydantic import ValidationError

from adapters.telegram import build
from tests.adapters.telegram.conftest import opening, settings
from tests.servers.telegram import TOKEN


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("BOT_TOKEN", "WEBHOOK_SECRET", "PROXY", "API_BASE_URL"):
        monkeypatch.delenv(f"TELEGRAM_{name}", raising=False)


def test_settings_come_from_the_file_then_the_environment_then_the_channel(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\nTELEGRAM_PROXY=http://10.0.0.1:3128\nOTHER=1\n")
    assert settings().token() == TOKEN
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "2:environment")
    assert settings().token() == "2:environment"
    channel = settings(bot_token="3:channel", webhook_secret="s")
    assert channel.token() == "3:channel"
    assert channel.proxy.get_secret_value() == "http://10.0.0.1:3128"


def test_a_missing_token_is_named():
    with pytest.raises(ValueError, match="TELEGRAM_BOT_TOKEN"):
        build(settings(), opening())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bot_token", "123:mật khẩu"),
        ("bot_token", "123:a/../b"),
        ("webhook_secret", "có dấu"),
        ("webhook_secret", "a" * 257),
        ("proxy", "socks5://127.0.0.1:1080"),
        ("proxy", "127.0.0.1:3128"),
        ("api_base_url", "api.telegram.org/bot"),
        ("api_base_url", "ftp://127.0.0.1/bot"),
        ("api_base_url", "http:///bot"),
    ],
)
def test_a_wrong_value_is_named_but_not_shown(name, value):
    with pytest.raises(ValidationError, match=f"TELEGRAM_{name.upper()}") as refused:
        settings(**{name: value})
    assert value not in str(refused.value)


def test_half_an_address_is_refused():
    with pytest.raises(ValidationError):
        settings(api_base_url="http://[::bad/bot")


def test_spaces_around_a_pasted_value_are_forgiven():
    read = settings(bot_token=f" {TOKEN}\n", proxy="  ", api_base_url="")
    assert read.token() == TOKEN
    assert read.proxy.get_secret_value() == ""
    assert read.api_base_url == "https://api.telegram.org/bot"


@pytest.mark.parametrize(
    ("base", "files"),
    [
        ("https://api.telegram.org/bot", "https://api.telegram.org/file/bot"),
        ("http://127.0.0.1:8081/bot", "http://127.0.0.1:8081/file/bot"),
        ("https://xa.gov.vn/tg/bot", "https://xa.gov.vn/tg/file/bot"),
    ],
)
def test_files_lie_beside_the_methods(base, files):
    assert settings(api_base_url=base).file_base_url == files


def test_secrets_do_not_show_themselves():
    read = settings(bot_token=TOKEN, webhook_secret="whsecret", proxy="http://name:password@proxy:1")
    assert not [secret for secret in (TOKEN, "whsecret", "password") if secret in repr(read) + str(read)]
