"""The service itself: whether it is there and ready, what it is, what it counts."""

from __future__ import annotations

import platform

from fastapi import APIRouter, Response

import itsbox
from itsbox.api.describe import describe
from itsbox.api.metrics import CONTENT_TYPE
from itsbox.api.problems import Unacceptable
from itsbox.api.render import json_response
from itsbox.api.routes.common import ServiceDep

__all__ = ["router"]

router = APIRouter(tags=["service"])


@router.get("/healthz", response_model=dict[str, str], **describe(example={"status": "ok"}))
async def healthz() -> Response:
    """Whether the process answers at all."""
    return json_response({"status": "ok"})


@router.get("/readyz", response_model=dict[str, str], **describe(example={"status": "ready"}))
async def readyz(service: ServiceDep) -> Response:
    """Whether sessions can be made and are ended in time; 503 while starting or stopping."""
    sweeper = service.sweeper
    if service.stopping or sweeper is None or sweeper.done():
        raise Unacceptable("unavailable", "the service is stopping" if service.stopping else "not started")
    return json_response({"status": "ready"})


@router.get(
    "/version",
    response_model=dict[str, str],
    **describe(example={"name": "itsbox", "version": "0.1.0", "api": "v1", "python": "3.11.7"}),
)
async def get_version() -> Response:
    """Which version of the service this is."""
    return json_response(
        {"name": "itsbox", "version": itsbox.__version__, "api": "v1", "python": platform.python_version()}
    )


@router.get(
    "/metrics",
    response_class=Response,
    **describe(
        media_type="text/plain", example='itsbox_sessions{state="running"} 1.0\n', doc="Prometheus' text format."
    ),
)
async def get_metrics(service: ServiceDep) -> Response:
    """Counters and gauges for Prometheus."""
    return Response(service.metrics.render(), headers={"content-type": CONTENT_TYPE})
