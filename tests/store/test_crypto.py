"""Sealed data, fingerprints and signed values: what the key holder can do, and nobody else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from store.crypto import Vault, VaultError

SECRET = "một khóa dài hơn ba mươi hai ký tự, chỉ để thử"
VAULT = Vault(SECRET)
OTHER = Vault(SECRET + "!")


@given(some.binary(max_size=200), some.text(max_size=20))
def test_what_is_sealed_can_be_opened(data, purpose):
    assert VAULT.open(VAULT.seal(data, purpose=purpose), purpose=purpose) == data


def test_text_comes_back_as_text():
    assert VAULT.open_text(VAULT.seal("Bản Pá Cuồng")) == "Bản Pá Cuồng"


def test_the_same_data_never_seals_the_same():
    assert len({VAULT.seal("61 hộ") for _ in range(100)}) == 100


def test_sealed_bytes_do_not_show_the_data():
    assert b"0912" not in VAULT.seal("0912" * 50)


def test_a_vault_of_the_same_secret_opens():
    assert Vault(SecretStr(SECRET)).open(VAULT.seal(b"x")) == b"x"


@pytest.mark.parametrize(
    "spoil",
    [
        *(
            pytest.param(lambda s, n=n: s[:n] + bytes([s[n] ^ 1]) + s[n + 1 :], id=f"byte {n} changed")
            for n in range(34)
        ),
        pytest.param(lambda s: s[:-1], id="cut short"),
        pytest.param(lambda s: s[:20], id="cut to less than a seal"),
        pytest.param(lambda s: s + b"\0", id="made longer"),
        pytest.param(lambda s: b"", id="nothing"),
        pytest.param(lambda s: b"plain text of an older age, never sealed", id="never sealed"),
    ],
)
def test_changed_data_does_not_open(spoil):
    sealed = VAULT.seal(b"works")
    assert len(sealed) == 34
    assert VAULT.open(sealed) == b"works"
    with pytest.raises(VaultError):
        VAULT.open(spoil(sealed))


def test_another_key_or_purpose_does_not_open():
    sealed = VAULT.seal("x", purpose="household label")
    assert VAULT.open_text(sealed, purpose="household label") == "x"
    for vault, purpose in ((OTHER, "household label"), (VAULT, "event body"), (VAULT, "")):
        with pytest.raises(VaultError):
            vault.open(sealed, purpose=purpose)


def test_bytes_that_are_no_text_are_a_vault_error():
    with pytest.raises(VaultError):
        VAULT.open_text(VAULT.seal(b"\xff\xfe"))


@pytest.mark.parametrize("secret", ["", "x" * 31, SecretStr("short")])
def test_a_short_secret_is_refused_by_the_name_of_its_setting(secret):
    with pytest.raises(ValueError, match="LOA_SECRET_KEY") as refused:
        Vault(secret)
    assert "short" not in str(refused.value)
    assert Vault("x" * 32).open(Vault("x" * 32).seal(b"y")) == b"y"


def test_nothing_shows_the_secret():
    assert SECRET not in repr(VAULT) + str(vars(VAULT))


# ---------------------------------------------------------------- fingerprints


def test_a_fingerprint_names_the_same_thing_for_ever():
    # Stored in databases: a change of this value orphans every row that was found by it.
    assert Vault("k" * 32).fingerprint("account", "telegram", "42") == "cad31d61e69ef881db80709b16a4e9ec"


def test_a_fingerprint_is_32_hex_characters():
    assert re.fullmatch("[0-9a-f]{32}", VAULT.fingerprint("account", "42"))


def test_fingerprints_differ_by_part_purpose_and_key():
    prints = [
        VAULT.fingerprint("account", "ab", "c"),
        VAULT.fingerprint("account", "a", "bc"),
        VAULT.fingerprint("account", "abc"),
        VAULT.fingerprint("account", "abc", ""),
        VAULT.fingerprint("token", "abc"),
        VAULT.fingerprint("accounta", "bc"),
        OTHER.fingerprint("account", "abc"),
    ]
    assert len(set(prints)) == len(prints)


# ---------------------------------------------------------------- signatures


@given(some.text(alphabet="abcXYZ019_.~-", min_size=1, max_size=40))
def test_what_is_signed_is_recognised(value):
    token = VAULT.sign("card", value)
    assert VAULT.unsign("card", token) == value
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", token)
    assert len(token) == len(value) + 21


@given(some.text(max_size=60))
def test_no_strangers_token_is_recognised(token):
    assert VAULT.unsign("card", token) is None


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda t: "2" + t[1:], id="another value"),
        pytest.param(lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), id="another last character"),
        pytest.param(lambda t: t[:-1], id="cut short"),
        pytest.param(lambda t: t + "=", id="made longer"),
        pytest.param(lambda t: t.upper(), id="another case"),
        pytest.param(lambda t: t.partition(".")[0] + ".", id="no signature"),
        pytest.param(lambda t: t.partition(".")[2], id="no value"),
        pytest.param(lambda t: OTHER.sign("card", "17"), id="signed with another key"),
        pytest.param(lambda t: VAULT.sign("relay", "17"), id="signed for another purpose"),
        pytest.param(lambda t: "17.é\udc80", id="characters that no token has"),
    ],
)
def test_a_forged_token_is_not_recognised(forge):
    token = VAULT.sign("card", "17")
    assert VAULT.unsign("card", token) == "17"
    assert VAULT.unsign("card", forge(token)) is None


@pytest.mark.parametrize("value", ["", "a b", "a/b", "bản", "a\n"])
def test_only_what_fits_a_url_is_signed(value):
    with pytest.raises(ValueError, match="signed"):
        VAULT.sign("card", value)
