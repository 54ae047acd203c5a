"""What each command does and refuses, in words and exit codes."""

import json
import subprocess
import sys

import pytest

from cli.demo import COMMUNE
from store.crypto import Vault
from tests.cli.conftest import KEY, ROOT
from tests.pictures.sheets import codes, pages


@pytest.mark.parametrize("arguments", [["doctor", "--help"], ["import", "--help"]])
def test_a_command_that_needs_no_service_loads_none_of_it(arguments):
    look = (
        "import sys\nfrom cli.main import app\n"
        "try: app()\nexcept SystemExit as end: assert not end.code\n"
        "print([m for m in ('fastapi', 'telegram', 'aiohttp', 'uvicorn', 'alembic', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_vietnamese_first(loa):
    assert "Tạo hoặc nâng cấp cơ sở dữ liệu. (Make the database" in loa.does("migrate", "--help")


# ---------------------------------------------------------------- settings and migrations


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("LOA_SECRET_KEY", None, "LOA_SECRET_KEY: còn thiếu", id="no key"),
        pytest.param("LOA_SECRET_KEY", "short", "ít nhất 32 ký tự", id="short key"),
        pytest.param("LOA_TIMEZONE", "Asia/Nowhere", "LOA_TIMEZONE", id="no such zone"),
        pytest.param("LOA_PUBLIC_URL", "ftp://x", "LOA_PUBLIC_URL", id="no web address"),
        pytest.param("LOA_APPROVAL", "always", "LOA_APPROVAL", id="unknown rule"),
        pytest.param("LOA_DATABASE_URL", "mysql://u:pass-word@h/x", "LOA_DATABASE_URL", id="another database"),
        pytest.param("LOA_DATABASE_URL", "sqlite://", "LOA_DATABASE_URL", id="a database in memory"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(loa, monkeypatch, name, value, words):
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    said = loa.refuses("migrate")
    assert words in said
    assert "pass-word" not in said


def test_settings_are_read_from_the_named_file(loa, monkeypatch):
    monkeypatch.delenv("LOA_SECRET_KEY")
    file = loa.write("my.env", f"LOA_SECRET_KEY={KEY}\nLOA_DATABASE_URL=sqlite:///here/loa.db\n")
    assert "here/loa.db" in loa.does("--env-file", file, "migrate")
    assert "còn thiếu" in loa.refuses("migrate"), "for that one command only"


def test_migrating_says_what_it_did(loa):
    assert "Đã tạo" in loa.does("migrate")
    assert "mới nhất" in loa.does("migrate")


def test_a_database_that_is_not_there_is_not_made_by_looking(loa):
    assert "loa migrate" in loa.refuses("user", "link", "1")
    assert not (loa.folder / "data").exists()


def test_a_database_of_another_shape_is_refused(commune):
    commune.rows("UPDATE alembic_version SET version_num = '9999'")
    assert "mới hơn" in commune.refuses("user", "link", "1")


# ---------------------------------------------------------------- registers


def test_villages_and_households_are_imported(commune):
    assert commune.rows("SELECT code, path, folded FROM unit ORDER BY id") == [
        ("tinh-hai", "/1/", "tinh hai"),
        ("xa1", "/1/2/", "xa mot"),
        ("na-pheo", "/1/2/3/", "ban na pheo"),
        ("huoi-may", "/1/2/4/", "ban huoi may"),
    ]
    assert commune.rows("SELECT kind, name FROM issuer ORDER BY id") == [
        ("commune", "UBND xã Một"),
        ("police", "Công an xã Một"),
        ("health", "Trạm y tế xã Một"),
        ("village", "bản Nà Pheo"),
        ("village", "bản Huổi Mây"),
    ]
    [(label,)] = commune.rows("SELECT sealed_label FROM household WHERE unit_id = 3 AND number = 1")
    assert Vault(KEY).open_text(label) == "Nhà đầu bản"


def test_importing_again_updates_and_keeps_what_the_file_does_not_have(commune):
    text = "Thôn,Số hộ,Tiếng,Hộ báo giúp\nna-pheo,1,Thái,3\nna-pheo,3,,\n"
    said = commune.does("import", "households", commune.write("again.csv", text))
    assert "2 hộ: 1 mới, 1 đã có" in said
    rows = commune.rows(
        "SELECT h.number, h.language, h.sealed_label IS NOT NULL, t.number FROM household h "
        "LEFT JOIN household t ON t.id = h.told_by_id WHERE h.unit_id = 3 ORDER BY h.number"
    )
    assert rows == [(1, "Thái", 1, 3), (2, "", 0, None), (3, "", 0, None)]


def test_a_renamed_village_is_still_found_by_its_former_name(commune):
    commune.does("import", "villages", commune.write("renamed.csv", "Tên bản,Mã\nbản Nà Pheo Mới,na-pheo\n"))
    assert commune.rows("SELECT name, folded FROM unit_name") == [("bản Nà Pheo", "ban na pheo")]
    assert commune.rows("SELECT name FROM issuer WHERE unit_id = 3") == [("bản Nà Pheo Mới",)]


def test_one_bad_row_and_nothing_is_written(commune):
    file = commune.write("bad.csv", "Thôn,Số hộ\nna-pheo,7\nna-pheo,bảy\nxa-la,1\n")
    said = commune.refuses("import", "households", file, "--errors", "mend.csv")
    assert "Dòng 3, cột “Số hộ”" in said
    assert "Dòng 4, cột “Thôn, bản”" in said
    assert commune.rows("SELECT count(*) FROM household") == [(3,)]
    assert len((commune.folder / "mend.csv").read_text("utf-8-sig").splitlines()) == 3


def test_bad_rows_come_as_json_for_programs(commune):
    result = commune.run("import", "households", commune.write("bad.csv", "Thôn,Số hộ\nna-pheo,x\n"), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["ok"], told["written"]) == (False, False)
    assert [(e["row"], e["column"]) for e in told["errors"]] == [(2, "Số hộ")]


def test_a_dry_run_writes_nothing(commune):
    file = commune.write("more.csv", "Thôn,Số hộ\nna-pheo,8\n")
    assert "Chưa ghi gì" in commune.does("import", "households", file, "--dry-run")
    assert commune.rows("SELECT count(*) FROM household") == [(3,)]


def test_a_new_commune_with_a_bad_village_is_not_made(loa):
    loa.does("migrate")
    file = loa.write("bad.csv", "Tên bản\nbản A\nbản A\n")
    new = ("--commune", "xa1", "--commune-name", "xã Một", "--province-name", "tỉnh Hai")
    assert "trùng" in loa.refuses("import", "villages", file, *new)
    assert loa.rows("SELECT count(*) FROM unit") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["villages", "none.csv"], "không có tệp", id="no file"),
        pytest.param(["villages", "households.csv", "--commune", "xa9"], "--commune-name", id="unknown commune"),
        pytest.param(["villages", "villages.csv", "--commune", "na-pheo"], "không phải xã", id="a village as commune"),
        pytest.param(["households", "households.csv", "--village", "xa1"], "không phải thôn", id="a commune"),
    ],
)
def test_an_import_that_cannot_begin_says_why(commune, arguments, words):
    assert words in commune.refuses("import", *arguments)


def test_a_long_register_takes_one_short_transaction(commune):
    lines = [f"na-pheo,{n},Nhà số {n}" for n in range(1, 3001)]
    file = commune.write("long.csv", "\n".join(["Thôn,Số hộ,Tên gọi", *lines]))
    assert "3000 hộ: 2998 mới" in commune.does("import", "households", file)


# ---------------------------------------------------------------- people


def test_a_person_is_added_with_a_password_and_a_role(commune):
    said = commune.does(
        "user", "add", "Cán bộ văn hoá", "--role", "official", "--unit", "xa1", "--username", "VanHoa", "--generate"
    )
    assert "Tên đăng nhập: vanhoa" in said
    [(name, password_hash)] = commune.rows("SELECT username, password_hash FROM person")
    assert name == "vanhoa"
    assert password_hash.startswith("$argon2id$")
    commune.does("user", "add", "Cán bộ văn hoá", "--role", "viewer", "--unit", "na-pheo", "--username", "vanhoa")
    assert commune.rows("SELECT role, unit_id FROM role ORDER BY id") == [("official", 2), ("viewer", 3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--role", "official", "--unit", "na-pheo"], "không giao ở cấp này", id="official of a village"),
        pytest.param(["--role", "viewer", "--unit", "xa9"], "Không có xã, thôn, bản", id="no such place"),
        pytest.param(["--role", "viewer", "--unit", "xa1", "--generate"], "--username", id="a password for nobody"),
    ],
)
def test_a_person_that_cannot_be_added_is_refused_in_words(commune, arguments, words):
    assert words in commune.refuses("user", "add", "Ai đó", *arguments)
    assert commune.rows("SELECT count(*) FROM person") == [(0,)]


def test_a_short_password_is_refused(commune):
    arguments = ["user", "add", "Ai đó", "--role", "viewer", "--unit", "xa1", "--username", "ai"]
    result = commune.run(*arguments, input="ngan\nngan\n")
    assert result.exit_code == 1
    assert "ít nhất" in result.stderr


def test_a_head_gets_a_code_and_hands_the_office_over(commune):
    for name in ("Trưởng bản cũ", "Trưởng bản mới"):
        commune.does("user", "add", name, "--role", "village_head", "--unit", "bản Nà Pheo")
    said = commune.does("user", "link", "1")
    assert "/lienket " in said
    code = said.partition("/lienket ")[2].split()[0]
    assert commune.rows("SELECT code_key FROM one_time_code") == [(Vault(KEY).fingerprint("one-time code", code),)]

    assert "Đã chuyển 1 việc" in commune.does("user", "handover", "1", "2")
    assert commune.rows("SELECT is_active FROM person ORDER BY id") == [(0,), (1,)]
    assert "không còn giữ việc" in commune.refuses("user", "link", "1")
    assert "Không có người nào" in commune.refuses("user", "handover", "2", "nobody")


def test_a_token_is_shown_once_and_kept_as_a_fingerprint(commune):
    commune.does("user", "add", "Cán bộ", "--role", "official", "--unit", "xa1", "--username", "cb", "--generate")
    token = commune.does("user", "token", "cb", "một cửa").strip()
    assert token.startswith("loa_")
    assert commune.rows("SELECT name FROM api_token") == [("một cửa",)]
    assert token not in str(commune.rows("SELECT * FROM api_token"))


# ---------------------------------------------------------------- channels, cards


def test_a_channel_keeps_its_settings_sealed(commune):
    token = "1234567:secret-of-the-bot"
    commune.does("channel", "add", "webchat", "thu")
    set_ = ["--set", f"bot_token={token}", "--set", "TELEGRAM_API_BASE_URL=http://127.0.0.1:9/bot"]
    result = commune.run("channel", "add", "telegram", "xa1", *set_)
    assert result.exit_code == 0
    assert "không tới được máy chủ" in result.stderr, "kept all the same: the network may come back"
    [(sealed,)] = commune.rows("SELECT sealed_settings FROM channel WHERE adapter = 'telegram'")
    assert token.encode() not in sealed
    assert json.loads(Vault(KEY).open(sealed))["bot_token"] == token
    listed = commune.does("channel", "list")
    assert "xa1" in listed
    assert token not in listed


def test_a_village_imported_later_has_its_room_at_once(commune):
    commune.does("channel", "add", "webchat", "thu")
    more = commune.write("more.csv", "Tên bản;Mã\nbản Nà Pheo;na-pheo\nbản Khe Vầu;khe-vau\n")
    rooms = "SELECT count(*) FROM chat WHERE kind = 'group' AND unit_id IS NOT NULL"
    commune.does("import", "villages", more, "--dry-run")
    assert commune.rows(rooms) == [(0,)]
    for _ in range(2):
        commune.does("import", "villages", more)
        assert commune.rows(rooms) == [(3,)], "those without one from before too"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["add", "telegram", "main"], "biến môi trường", id="main comes from the environment"),
        pytest.param(["add", "pigeon", "x"], "Không có nền tảng", id="no such messenger"),
        pytest.param(["add", "telegram", "x", "--set", "speed=9"], "KEY là một trong", id="no such setting"),
        pytest.param(["add", "telegram", "x", "--set", "proxy=socks5://a:1"], "SOCKS", id="a wrong value"),
        pytest.param(["add", "telegram", "Tên Kênh", "--set", "bot_token=1:a"], "chữ thường", id="a bad name"),
        pytest.param(["set-webhook", "telegram", "xa1"], "LOA_PUBLIC_URL", id="no public address"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_in_words(commune, arguments, words):
    assert words in commune.refuses("channel", *arguments)


def test_cards_need_an_address_that_residents_reach(commune, monkeypatch):
    for address in ("", "http://127.0.0.1:8000"):
        monkeypatch.setenv("LOA_PUBLIC_URL", address)
        assert "địa chỉ công khai" in commune.refuses("cards", "na-pheo", "--out", "cards.pdf")


def test_a_sheet_of_cards_has_one_for_each_household(commune, monkeypatch):
    monkeypatch.setenv("LOA_PUBLIC_URL", "https://loa.vi-du.gov.vn")
    assert "2 thẻ" in commune.does("cards", "na-pheo", "--out", "cards.pdf")
    sheet = (commune.folder / "cards.pdf").read_bytes()
    (page,) = pages(sheet)
    assert "Hộ số 2" in page
    assert "Nhà đầu bản" not in page, "labels are for the head alone"
    assert len(codes(sheet)) == 2
    assert all(code.startswith("https://loa.vi-du.gov.vn/h/") for code in codes(sheet))


def test_a_demo_is_not_put_into_a_real_commune(commune, monkeypatch):
    monkeypatch.setenv("LOA_DATABASE_URL", f"sqlite:///{commune.folder}/data/loa.db")
    assert "đã có xã khác" in commune.refuses("demo", "--data", "thu", "--port", "0")
    assert COMMUNE[0] not in str(commune.rows("SELECT code FROM unit"))
    assert "LOA_DATABASE_URL" in commune.refuses("demo", "--data", "thu", "--reset")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["send", "--villages", "all", "--body", "x"], "chưa có cán bộ nào", id="nobody to send"),
        pytest.param(["send", "--villages", "all"], "--body hoặc --file", id="nothing to say"),
        pytest.param(["send", "--villages", "all", "--file", "none.txt"], "không có tệp", id="no file"),
        pytest.param(["reach", "TB-XXXX"], "Không có thông báo", id="no such notice"),
    ],
)
def test_a_notice_that_cannot_be_is_refused_in_words(commune, arguments, words):
    assert words in commune.refuses("notice", *arguments)


def test_polling_is_not_there_yet_and_says_so(commune):
    assert "chưa" in commune.refuses("serve", "--poll", "telegram:main")
