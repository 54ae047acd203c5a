"""Who only looks ahead: programs that fetch a link for its preview, and browsers that fetch a page before it is wanted.

A preview is no resident. What does not say its name is told apart by what it does: it sends no cookie of ours back.
"""

import re

from starlette.datastructures import Headers

PREVIEWS = (
    # https://developers.facebook.com/docs/sharing/webmasters/web-crawlers/ (2026-11); Messenger and Instagram too.
    # The browsers inside of these apps say FBAN, FBAV or FB_IAB, and are residents.
    "facebookexternalhit",
    "facebookcatalog",
    "meta-externalagent",
    "meta-externalfetcher",
    "whatsapp/",
    # https://docs.slack.dev/robots (2026-11)
    "slack-imgproxy",
    # https://developers.google.com/search/docs/crawling-indexing/google-common-crawlers (2026-11)
    "google-inspectiontool",
    "googleother",
    "google-safety",
    "mediapartners-google",
    "apis-google",
    # Seen in public lists of link previews: LINE, KakaoTalk, VK, Viber, services that unfurl links for others.
    "line-poker",
    "kakaotalk-scrap",
    "vkshare",
    "viber/",
    "embedly",
    "iframely",
    # Libraries and tools: an app that looks at a link by itself says the name of its library.
    "headlesschrome",
    "cfnetwork/",
    "dalvik/",
    "okhttp",
    "curl/",
    "wget/",
    "python-",
    "aiohttp",
    "httpx",
    "go-http-client",
    "java/",
    "axios/",
    "undici",
    "libwww",
)
"""Parts of a `User-Agent`, in small letters. Zalo's browser ("Zalo android/…", "Zalo iOS/…") is a resident's."""
GENERAL = re.compile(r"(?<!cu)bot|crawl|spider|preview|scrape|fetch|unfurl|monitor|validator|imageproxy|lighthouse")
"""What such programs call themselves in general; Cubot makes telephones."""


def looks_ahead(headers: Headers) -> bool:
    """Nobody has this before their eyes yet: a preview, or a page fetched before it is wanted.

    Sec-Purpose: https://fetch.spec.whatwg.org/#sec-purpose-header; Purpose and X-Moz say the same in older browsers.
    """
    told = " ".join(headers.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz")).lower()
    if "prefetch" in told or "preview" in told:
        return True
    agent = headers.get("user-agent", "").lower()
    return not agent or any(name in agent for name in PREVIEWS) or GENERAL.search(agent) is not None
