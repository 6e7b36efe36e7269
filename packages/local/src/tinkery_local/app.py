"""Every path that the server answers, and by which handler."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from tinkery_local.api import clients, listing, models, sampling, saving, training
from tinkery_local.api.endpoint import Handler, route
from tinkery_local.service import Service

PREFIX = "/api/v1"

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/retrieve_future", sampling.retrieve_future),
    ("POST", "/asample", sampling.asample),
    ("POST", "/forward_backward", training.forward_backward),
    ("POST", "/optim_step", training.optim_step),
    ("POST", "/save_weights_for_sampler", saving.save_weights_for_sampler),
    ("POST", "/save_weights", saving.save_weights),
    ("POST", "/save_weights_external", saving.save_weights_external),
    ("POST", "/load_weights", models.load_weights),
    ("POST", "/create_model", models.create_model),
    ("POST", "/get_info", models.get_info),
    ("POST", "/create_sampling_session", sampling.create_sampling_session),
    ("POST", "/cancel_future", sampling.cancel_future),
    ("GET", "/samplers/{sampler_id}", sampling.get_sampler),
    ("POST", "/client/config", clients.client_config),
    ("POST", "/client/dynamic_config", clients.dynamic_config),
    ("POST", "/create_session", clients.create_session),
    ("POST", "/session_heartbeat", clients.session_heartbeat),
    ("POST", "/sessions/{session_id}/finish", clients.finish_session),
    ("POST", "/telemetry", clients.telemetry),
    ("GET", "/get_server_capabilities", clients.capabilities),
    ("GET", "/healthz", clients.health),
    ("GET", "/sessions", listing.sessions),
    ("GET", "/sessions/{session_id}", listing.session),
    ("GET", "/training_runs", listing.training_runs),
    ("GET", "/training_runs/{run}", listing.training_run),
    ("GET", "/training_runs/{run}/checkpoints", listing.run_checkpoints),
    ("DELETE", "/training_runs/{run}/checkpoints/{kind}/{name}", listing.delete_checkpoint),
    ("POST", "/training_runs/{run}/checkpoints/{kind}/{name}/publish", listing.publish),
    ("DELETE", "/training_runs/{run}/checkpoints/{kind}/{name}/publish", listing.unpublish),
    ("PUT", "/training_runs/{run}/checkpoints/{kind}/{name}/ttl", listing.set_ttl),
    ("GET", "/checkpoints", listing.checkpoints),
    ("POST", "/weights_info", listing.weights_info),
]


def build_app(service: Service) -> Starlette:
    """The ASGI application of a service. The paths are tried in order, so the frequent ones come first."""
    routes = [route(service, method, PREFIX + path, handler) for method, path, handler in ROUTES]
    return Starlette(routes=routes, exception_handlers={404: _no_such_path, 405: _no_such_path})


async def _no_such_path(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return JSONResponse({"detail": f"this server has no {request.method} {request.url.path}"}, status)
