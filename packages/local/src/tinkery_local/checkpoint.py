"""What is written beside the weights of a checkpoint: whose they are, and how long they live."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from tinkery_local.errors import RequestError
from tinkery_local.wire.fields import Fields


@dataclass(frozen=True)
class CheckpointRecord:
    """`checkpoint.json`: the base model and the adapter of the weights, and what the user said of them."""

    base_model: str
    rank: int
    train_attn: bool
    train_mlp: bool
    train_unembed: bool
    created: datetime
    expires_at: datetime | None = None
    public: bool = False
    user_metadata: dict[str, str] | None = None
    run_metadata: dict[str, str] | None = None

    def to_json(self) -> str:
        values: dict[str, object] = {
            "base_model": self.base_model,
            "rank": self.rank,
            "train_attn": self.train_attn,
            "train_mlp": self.train_mlp,
            "train_unembed": self.train_unembed,
            "created": self.created.isoformat(),
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "public": self.public,
            "user_metadata": self.user_metadata,
            "run_metadata": self.run_metadata,
        }
        return json.dumps(values, indent=2)

    @classmethod
    def from_json(cls, text: bytes) -> "CheckpointRecord":
        """Read it back; RequestError names the field that does not fit."""
        fields = Fields.parse(text)
        return cls(
            base_model=fields.text("base_model"),
            rank=fields.integer("rank"),
            train_attn=fields.flag("train_attn", True),
            train_mlp=fields.flag("train_mlp", True),
            train_unembed=fields.flag("train_unembed", True),
            created=_moment(fields.text("created")),
            expires_at=_moment(fields.text("expires_at")) if fields.has("expires_at") else None,
            public=fields.flag("public", False),
            user_metadata=fields.text_map("user_metadata") if fields.has("user_metadata") else None,
            run_metadata=fields.text_map("run_metadata") if fields.has("run_metadata") else None,
        )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise RequestError(400, f"{text!r} is not a date and time") from None
