"""The real command as a process: the demo, a second server, and the doctor before a messenger that answers or not."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import time

import httpx
import pytest

from cli.demo import VILLAGES
from tests.cli.conftest import KEY
from tests.servers.telegram import serving

pytestmark = pytest.mark.e2e

READY = "Dừng: Ctrl+C"


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def bare(loa, monkeypatch):
    """Not even a key: the demo makes its own."""
    monkeypatch.delenv("LOA_SECRET_KEY")
    return loa


def demo(loa, port, *more):
    return loa.serving("demo", "--data", "thu", "--port", port, *more, until=READY)


@pytest.mark.slow
def test_the_demo_serves_its_commune_and_keeps_it(bare, port):
    with demo(bare, port, "--token") as service:
        said = "\n".join(service.said)
        assert f"http://127.0.0.1:{port}/console/" in said
        assert "vanhoa" in said
        password = said.partition("mật khẩu chung ")[2].split()[0]
        token = said.partition("Mã /api/v1")[2].split()[0]
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/readyz").json()["ok"] is True
        assert httpx.get(f"{base}/api/v1/notices", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert httpx.get(f"{base}/chat/{VILLAGES[0].code}").status_code == 200

        assert "đang chạy trên tệp dữ liệu" in bare.refuses("demo", "--data", "thu", "--port", "0")
        assert "đang chạy" in bare.refuses("demo", "--data", "thu", "--port", "0", "--reset")
        env_file = bare.folder / "thu" / ".env"
        assert "đang chạy" in bare.refuses("--env-file", env_file, "serve", "--port", "0")
        assert "dừng dịch vụ" in bare.refuses("--env-file", env_file, "migrate")
        assert "/lienket" in bare.does("--env-file", env_file, "user", "link", "napheo"), "beside the running service"
    assert service.process.returncode == 0
    assert not any(" error " in line for line in service.logged), service.logged

    if sys.platform != "win32":
        assert stat.S_IMODE((bare.folder / "thu" / ".env").stat().st_mode) == 0o600
    counts = "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM household), (SELECT count(*) FROM person)"
    loaded = bare.rows(counts, "thu/loa.db")
    assert loaded == [(10, sum(village.households for village in VILLAGES), 13)]
    assert bare.rows("SELECT count(*) FROM chat WHERE unit_id IS NOT NULL", "thu/loa.db") == [(9,)]

    with socket.socket() as browser, demo(bare, port) as service:
        browser.connect(("127.0.0.1", port))
        browser.sendall(f"GET /chat/{VILLAGES[0].code}/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert browser.recv(100).startswith(b"HTTP/1.1 200"), "a page is open that listens for ever"
        again = "\n".join(service.said)
        assert "giữ dữ liệu" in again
        assert password in again
    assert not any(" error " in line for line in service.logged), service.logged
    assert bare.rows(counts, "thu/loa.db") == loaded
    assert bare.rows("SELECT count(*) FROM one_time_code", "thu/loa.db") == [(1,)]

    # Loaded anew; that it cannot serve then spares the test a third start.
    with socket.create_server(("127.0.0.1", port)):
        assert "đang được dùng" in bare.refuses("demo", "--data", "thu", "--port", port, "--reset")
    assert bare.rows(counts, "thu/loa.db") == loaded
    assert bare.rows("SELECT count(*) FROM one_time_code", "thu/loa.db") == [(0,)]


def test_a_notice_sent_from_the_command_line_reaches_the_group(bare, port):
    env_file = bare.folder / "thu" / ".env"
    with demo(bare, port):
        send = ["--env-file", env_file, "notice", "send", "--as", "napheo", "--villages", "na-pheo"]
        assert "có ai để hỏi" in bare.refuses(*send, "--body", "Họp bản."), "nobody said yes"
        said = bare.does(*send, "--body", "Họp bản tối thứ sáu.", "--yes")
        assert "Họp bản tối thứ sáu." in said, "the preview"
        code = said.partition("notice reach ")[2].split()[0]
        reach = ["--env-file", env_file, "notice", "reach", code]
        deadline = time.monotonic() + 30
        while json.loads(bare.does(*reach, "--json"))["total"]["sent"] != 1:
            assert time.monotonic() < deadline
        assert "bản Nà Pheo" in bare.does(*reach)
        assert bare.does(*reach, "--csv").startswith('"Thôn, bản"')

        assert "không dòng nào lệch" in bare.does("--env-file", env_file, "doctor", "--recount")
        bare.rows("UPDATE reach SET sent = 7", "thu/loa.db")
        assert "1 dòng bị lệch, đã sửa" in bare.does("--env-file", env_file, "doctor", "--recount")
        assert bare.rows("SELECT sent FROM reach", "thu/loa.db") == [(1,)]
    assert bare.rows("SELECT state, count(*) FROM notice GROUP BY state", "thu/loa.db") == [
        ("cancelled", 1),
        ("published", 1),
    ]


def test_ctrl_c_stops_the_service_without_a_word_of_failure(commune):
    with commune.serving("serve", "--port", "0", until="đang chạy tại") as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
    assert not any("Traceback" in line or "Aborted" in line for line in service.logged), service.logged


def test_a_port_in_use_is_said_in_words(commune):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = commune.refuses("serve", "--port", taken.getsockname()[1])
    assert "đang được dùng" in said


def test_a_service_without_a_database_says_what_to_run(loa):
    assert "loa migrate" in loa.refuses("serve", "--port", "0")


# ---------------------------------------------------------------- the doctor


def channel_of(base_url, token):
    return {"ADAPTERS": "webchat,telegram", "TELEGRAM_BOT_TOKEN": token, "TELEGRAM_API_BASE_URL": base_url}


def told_by(output, code):
    told = json.loads(output)
    assert told["ok"] is (code == 0)
    return {check["subject"]: check for check in told["checks"]}, code


async def examined_here(loa, monkeypatch, base_url, token, **environment):
    """The same in this process, which need not start one."""
    for name, value in {**channel_of(base_url, token), **environment}.items():
        monkeypatch.setenv(name, value)
    result = await asyncio.to_thread(loa.run, "doctor", "--json")
    assert result.stderr == ""
    return told_by(result.stdout, result.exit_code)


async def examined(loa, base_url, token):
    """What `loa doctor --json` says of the channel telegram:main, and its exit code."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LOA_SECRET_KEY": KEY,
        **channel_of(base_url, token),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "doctor", "--json"),
        cwd=loa.folder,
        env=given,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    return told_by(out, process.returncode)


async def test_the_doctor_tells_a_good_token(commune):
    async with serving() as stub:
        checks, code = await examined(commune, stub.base_url, stub.token)
    assert checks["Kênh telegram:main"]["level"] == "ok"
    assert checks["Đồng hồ"]["words"] == "khớp"
    assert checks["Webhook telegram:main"]["level"] == "warning"
    assert code == 0


async def test_the_doctor_tells_a_wrong_token_from_a_messenger_out_of_reach(commune, port, monkeypatch):
    async with serving() as stub:
        checks, code = await examined_here(commune, monkeypatch, stub.base_url, "1000002:not-ours")
        wrong = checks["Kênh telegram:main"]
        assert (wrong["level"], code) == ("broken", 1)
        assert "mã truy cập sai" in wrong["words"]

        proxy = f"http://127.0.0.1:{port}"
        checks, code = await examined_here(commune, monkeypatch, stub.base_url, stub.token, TELEGRAM_PROXY=proxy)
        assert code == 1
        assert "máy chủ trung gian" in checks["Kênh telegram:main"]["mend"]
    nowhere = f"http://127.0.0.1:{port}/bot"
    checks, code = await examined_here(commune, monkeypatch, nowhere, stub.token, TELEGRAM_PROXY="")
    far = checks["Kênh telegram:main"]
    assert (far["level"], code) == ("broken", 1)
    assert "không tới được" in far["words"]
    assert "chưa được kiểm tra" in far["words"]


async def test_a_webhook_is_registered_with_its_secret(commune, monkeypatch):
    async with serving() as stub:
        environment = {"ADAPTERS": "telegram", "TELEGRAM_BOT_TOKEN": stub.token, "TELEGRAM_API_BASE_URL": stub.base_url}
        for name, value in {**environment, "LOA_PUBLIC_URL": "https://loa.vi-du.gov.vn"}.items():
            monkeypatch.setenv(name, value)
        arguments = ["channel", "set-webhook", "telegram", "main"]
        assert "TELEGRAM_WEBHOOK_SECRET" in await asyncio.to_thread(commune.refuses, *arguments)
        monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", "a-secret-of-ours")
        said = await asyncio.to_thread(commune.does, *arguments)
        assert "https://loa.vi-du.gov.vn/webhooks/telegram/main" in said
        state = await stub.control.bot_state()
    assert "https://loa.vi-du.gov.vn/webhooks/telegram/main" in json.dumps(state)


# ---------------------------------------------------------------- the doctor, at home


def test_the_doctor_names_what_is_missing_and_what_to_do(commune):
    said = commune.does("doctor")
    assert "Địa chỉ công khai: chưa có" in said
    assert "2 nơi chưa nối nhóm nào: bản Nà Pheo, bản Huổi Mây" in said
    assert "Dịch vụ: chưa chạy" in said


def test_the_doctor_of_a_machine_without_anything_says_where_to_begin(loa, monkeypatch):
    result = loa.run("doctor")
    assert result.exit_code == 1
    assert "loa migrate" in result.stdout
    monkeypatch.delenv("LOA_SECRET_KEY")
    result = loa.run("doctor")
    assert result.exit_code == 1
    assert "LOA_SECRET_KEY" in result.stdout
