"""Handlers that a client calls around its work: configuration, sessions, heartbeats."""

from dataclasses import replace

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.errors import RequestError
from tinkery_local.replies import json_reply

CLIENT_CONFIG: dict[str, object] = {
    "pjwt_auth_enabled": False,
    "parallel_fwdbwd_chunks": True,
    "proto_compress_fwdbwd": False,
    "sample_use_retrieve_futures": False,
    "sample_join_sampling_session": False,
    "custom_loss_server_side": False,
}
"""Feature flags of the client; it takes its own default for what is not here."""


async def client_config(call: Call) -> Answer:
    """The flags, and the end of the connection: the client asks over one of its own, which it never closes."""
    return replace(json_reply(CLIENT_CONFIG), headers={"connection": "close"})


async def dynamic_config(call: Call) -> Answer:
    return {"sample_cancel_enabled": True}


async def create_session(call: Call) -> Answer:
    fields = call.fields()
    session = call.service.open_session(fields.text_map("user_metadata"), fields.maybe_text("display_name"))
    return {"session_id": session.session_id}


async def session_heartbeat(call: Call) -> Answer:
    session_id = call.fields().text("session_id")
    if session_id not in call.service.sessions:
        raise RequestError(410, f"session {session_id!r} has ended, or the server was restarted")
    call.service.session(session_id)
    return {}


async def finish_session(call: Call) -> Answer:
    call.service.end_session(call.path["session_id"])
    return {}


async def telemetry(call: Call) -> Answer:
    """Accepted and dropped: this server keeps no telemetry."""
    return {"status": "accepted"}


async def health(call: Call) -> Answer:
    return {"status": "ok"}


async def capabilities(call: Call) -> Answer:
    return {
        "supported_models": [
            {
                "model_name": base.name,
                "max_context_length": base.engine.spec.max_position_embeddings,
                "trainable": True,
                "sampleable": True,
            }
            for base in call.service.bases.values()
        ]
    }
