"""Messages for an incoming webhook of Slack, or of what speaks like it.

Facts: docs.slack.dev, "Sending messages using incoming webhooks" (answers and their words), "Rate limits" (one message
a second and webhook, `Retry-After` with 429), "Formatting message text" (only `&`, `<` and `>` are escaped).
"""

import re
from datetime import datetime, timedelta

from adapters.notify.exchange import Answer, json_bytes
from adapters.notify.messages import Message, Told
from adapters.notify.notifier import Fate, Letter, Verdict, asked_to_wait
from reconciler.ports import Window

LONGEST_TEXT = 3500  # characters; Slack cuts text above 4,000
_CODE = re.compile(r"[a-z_]{2,40}")
_SHUT = {
    403: "Slack does not let us post there",
    404: "Slack does not know the webhook",
    410: "Slack has archived its channel",
}
_FIX = "make a webhook for the channel and write it to where the settings' reference points"


class Slack:
    """Implements `Voice`."""

    windows = (Window(span=timedelta(seconds=1), most=1), Window(span=timedelta(minutes=1), most=20))

    def write(self, message: Message, now: datetime) -> Letter:
        """`text` in mrkdwn; links are not unfurled, and nothing that stands in it can call people."""
        text = "\n".join(_digest(message) if len(message.told) > 1 else _single(message))
        body = {"text": text[:LONGEST_TEXT], "mrkdwn": True, "unfurl_links": False, "unfurl_media": False}
        return Letter(body=json_bytes(body))

    def judge(self, answer: Answer) -> Verdict:
        """Slack says `ok`, or a word of its own; nothing else of an answer is passed on."""
        word = answer.text.strip()
        said = f" ({answer.status} {word})" if _CODE.fullmatch(word) else f" ({answer.status})"
        if answer.status == 200 and not answer.is_page:
            return Verdict(fate=Fate.DELIVERED)
        if answer.status == 429:
            return Verdict(fate=Fate.LIMITED, why=f"Slack limits our pace{said}", wait=asked_to_wait(answer))
        if answer.status in _SHUT and not answer.is_page:
            return Verdict(fate=Fate.SHUT, why=f"{_SHUT[answer.status]}{said}; {_FIX}")
        if 300 <= answer.status < 400:
            return Verdict(fate=Fate.SHUT, why=f"its address sends us elsewhere{said}; {_FIX}")
        if answer.status in {400, 413} and not answer.is_page:
            return Verdict(fate=Fate.REFUSED, why=f"Slack does not take the message{said}")
        return Verdict(fate=Fate.AWAY, why=f"Slack does not answer as it should{said}", wait=asked_to_wait(answer))


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no link, no mention, no call to a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _single(message: Message) -> list[str]:
    (told,) = message.told
    lines = [f"*{escaped(message.title)}* {_named(told)}: {escaped(told.item.status.description)}"]
    detail = told.fact("detail")
    if detail and detail not in told.item.status.description:
        lines.append(f"> {escaped(detail)}")
    return [*lines, _origin(told, message.commit)]


def _digest(message: Message) -> list[str]:
    names = ", ".join(_named(told) for told in message.shown)
    more = f" and {message.more} more" if message.more else ""
    first = message.shown[0]
    return [
        f"*{escaped(message.title)}: {len(message.told)} fleets* {names}{more}",
        f"> {escaped(first.fleet)}: {escaped(first.item.status.description)}",
        _origin(first, message.commit),
    ]


def _named(told: Told) -> str:
    url = told.item.status.target_url
    if not url.startswith(("https://", "http://")) or not url.isprintable() or set(url) & set("|<> "):
        return escaped(told.fleet)
    return f"<{escaped(url)}|{escaped(told.fleet)}>"


def _origin(told: Told, commit: str) -> str:
    where = f"set by `{escaped(commit[:7])}` in {escaped(told.fact('repository'))}" if commit else "several commits"
    owner = told.fact("owner")
    return f"_{where}{f', owner {escaped(owner)}' if owner else ''}_"
