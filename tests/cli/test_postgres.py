"""The same commands on PostgreSQL."""

import asyncio

import pytest

from cli import opening
from cli.demo import VILLAGES, load_once
from tests import postgres

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(monkeypatch):
    with postgres.server().fresh() as address:
        monkeypatch.setenv("LOA_DATABASE_URL", address)
        yield address


def test_registers_are_imported_and_imported_again(loa, url):
    loa.does("migrate")
    villages = loa.write("villages.csv", "Tên bản,Mã\nbản Nà Pheo,na-pheo\nbản Huổi Mây,huoi-may\n")
    new = ("--commune", "xa1", "--commune-name", "xã Một", "--province-name", "tỉnh Hai")
    assert "2 mới" in loa.does("import", "villages", villages, *new)
    assert "0 mới" in loa.does("import", "villages", villages)
    households = loa.write("households.csv", "Thôn,Số hộ,Tên gọi,Hộ báo giúp\nna-pheo,1,Nhà đầu bản,2\nna-pheo,2,,\n")
    assert "2 mới" in loa.does("import", "households", households)
    assert "0 mới, 2 đã có" in loa.does("import", "households", households)
    loa.does("user", "add", "Trưởng bản Nà Pheo", "--role", "village_head", "--unit", "na-pheo")
    assert "/lienket" in loa.does("user", "link", "1")
    said = loa.does("doctor")
    assert "đọc và ghi được" in said
    assert "Đồng hồ cơ sở dữ liệu: khớp" in said
    assert "postgres@" in said


def test_the_demo_commune_is_loaded_once(loa, url):
    loa.does("migrate")
    found = opening.settings()
    assert asyncio.run(load_once(found, "a-password-of-the-demo")) is True
    assert asyncio.run(load_once(found, "a-password-of-the-demo")) is False
    assert f"{len(VILLAGES)} thôn, bản" in loa.does("doctor")


def test_a_server_that_does_not_answer_is_said_in_words_without_its_password(loa, monkeypatch):
    monkeypatch.setenv("LOA_DATABASE_URL", "postgresql://loa:pass-word@127.0.0.1:9/loa")
    for command in (["migrate"], ["user", "link", "1"]):
        said = loa.refuses(*command)
        assert "ơ sở dữ liệu" in said
        assert "pass-word" not in said
    result = loa.run("doctor")
    assert result.exit_code == 1
    assert "LỖI" in result.stdout
    assert "pass-word" not in result.stdout
