"""Logging of the processes that serve: one line an event, `key=value`, to standard error."""

import json
import logging
import logging.config
import re
from datetime import UTC, datetime

QUIET = ("aiohttp", "apscheduler", "asyncio", "httpcore", "httpx", "multipart", "telegram")
"""Libraries whose INFO names addresses: a bot's address holds its token."""
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
SECRETS = re.compile(r"(?<!\d)\d{6,}:[A-Za-z0-9_-]{30,}|(?<=[Bb]earer )\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
"""Bot tokens, bearer tokens, passwords in addresses: nobody logs them, but a foreign exception may quote them."""


class OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {key: value for key, value in vars(record).items() if key not in OWN}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        said = " ".join([f"event={_quoted(record.getMessage())}", *(f"{k}={_quoted(v)}" for k, v in fields.items())])
        return SECRETS.sub("***", f"{at} {record.levelname.lower()} {record.name} {said}")


def set_up(level: str = "INFO") -> None:
    """Send everything through one formatter; uvicorn's own settings are not used."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": OneLine}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                **{name: {"level": "WARNING"} for name in QUIET},
                "uvicorn.access": {"level": "CRITICAL"},
            },
        }
    )


def _quoted(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.:/+@-]+", text) else json.dumps(text, ensure_ascii=False)
