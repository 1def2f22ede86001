"""What the gateway answers to a vehicle."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from gateway.vehicles.errors import DeliveryError

# Every state in which the gateway holds an item's bytes; in any other they are sent again, which is harmless.
RECEIVED_STATES: Final = frozenset({"quarantined", "classified", "cleansed", "cut", "held", "erased"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReceipt:
    """Where the gateway stands with one item, and where its bytes go.

    Attributes:
        name: Its name; the position where the recording was sealed, whose names the gateway does not send.
        state: Its state in the flow.
        href: Path of the resource that takes its bytes.
    """

    name: str
    state: str
    href: str

    @property
    def received(self) -> bool:
        """Whether the gateway holds the item's bytes."""
        return self.state in RECEIVED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBy:
    """A rule by which the gateway holds a whole recording in quarantine: delivered and safe, not yet used.

    Attributes:
        rule: Name of the rule.
        clause: The clause that it implements.
        text_zh: What it demands, in Chinese.
        text_en: What it demands, in English.
    """

    rule: str
    clause: str
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The gateway's answer for a recording; ``held`` is empty where nothing holds it as a whole."""

    recording: str
    items: tuple[ItemReceipt, ...]
    held: tuple[HeldBy, ...] = ()


def read_receipt(response: httpx.Response) -> Receipt:
    """Read the gateway's answer for a recording, its items in order of their index.

    Raises:
        DeliveryError: The answer has another form.
    """
    try:
        answer: Any = response.json()
        items = tuple(
            ItemReceipt(
                name=str(item.get("name", item["index"])), state=str(item["state"]), href=str(item["href"])
            )
            for item in sorted(answer["items"], key=lambda item: int(item["index"]))
        )
        held = tuple(
            HeldBy(**{name: str(each[name]) for name in ("rule", "clause", "text_zh", "text_en")})
            for each in answer.get("hold", {"violations": []})["violations"]
        )
        return Receipt(recording=str(answer["recording"]), items=items, held=held)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeliveryError(
            "unexpected_answer", f"{type(error).__name__}: {error}", status=response.status_code
        ) from error


def read_refusal(response: httpx.Response) -> DeliveryError:
    """What an ``application/problem+json`` answer says (RFC 9457)."""
    problem: Any = {}
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            problem = response.json()
        except ValueError:
            problem = {}
    known = problem if isinstance(problem, dict) else {}
    reason = str(known.get("reason", "unexpected_answer"))
    detail = str(known.get("detail", response.reason_phrase))
    return DeliveryError(reason, f"{response.status_code} {detail}", status=response.status_code)
