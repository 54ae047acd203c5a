"""What a page weighs on its first visit, with all that it loads, against the limit for a cheap phone.

python -m bench.pages
"""

import re
from urllib.parse import urljoin

import httpx

from bench import report
from bench.demo import demo
from bench.words import WORDS

LIMIT = 60_000
PARTS = re.compile(r'(?:src|<link [^>]*href)="(/[^"]*)"')
PAGES = {
    "/": "front page of the demo",
    "/chat/na-pheo": "chat room of a village",
    "/console/": "console: overview",
    "/console/notices/new": "console: compose",
    "/console/villages/na-pheo": "console: a village",
}


def main() -> None:
    report.title(f"Page weight, limit {LIMIT // 1000} kB")
    with demo() as here, httpx.Client(base_url=here.url, follow_redirects=True, timeout=30) as client:
        notice = here.publish(WORDS)
        _sign_in(client, here.password)
        pages = {
            **PAGES,
            f"/console/notices/{notice}": "console: reach of a notice",
            f"/tb/{notice}": "public page of a notice",
        }
        rows = [(words, *_weighed(client, path)) for path, words in pages.items()]
    report.table(("page", "against the limit", "kB in all", "kB of HTML", "requests"), rows)


def _weighed(client: httpx.Client, path: str) -> tuple[str, str, str, int]:
    page = client.get(path)
    assert page.status_code == 200, f"{path}: {page.status_code}"
    parts = {urljoin(path, part) for part in PARTS.findall(page.text)}
    sizes = [len(client.get(part).raise_for_status().content) for part in sorted(parts)]
    html, whole = len(page.content), len(page.content) + sum(sizes)
    return f"x{whole / LIMIT:.2f}", f"{whole / 1000:.1f}", f"{html / 1000:.1f}", 1 + len(sizes)


def _sign_in(client: httpx.Client, password: str) -> None:
    form = {"csrf": _csrf(client.get("/console/login").text), "username": "vanhoa", "password": password}
    assert client.post("/console/login", data=form).url.path != "/console/login"


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


if __name__ == "__main__":
    report.machine()
    main()
