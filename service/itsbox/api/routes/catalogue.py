"""What there is: declarations, presets and knobs, profiles, caps."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from itsbox.api.catalogue import arch_document, defect_document, profile_document
from itsbox.api.describe import describe
from itsbox.api.render import json_response
from itsbox.api.routes.common import ServiceDep
from itsbox.hypervisor.knobs import hardening_catalogue

__all__ = ["router"]

router = APIRouter(tags=["catalogue"])


@router.get(
    "/v1/arch",
    response_model=dict[str, list[dict[str, Any]]],
    **describe(example={"reasons": [{"reason": "itt_not_host_owned", "sentence": "...", "citation": "..."}]}),
)
async def get_arch() -> Response:
    """Registers, commands, table entries, errors, hypercalls, reasons and events: the declarations themselves."""
    return json_response(arch_document())


@router.get(
    "/v1/hardening",
    response_model=dict[str, Any],
    **describe(
        example={"default": "strict", "presets": [{"name": "off", "doc": "No pKVM.", "knobs": {}}], "knobs": []}
    ),
)
async def get_hardening() -> Response:
    """Presets and knobs of the hypervisor, with what each value means and where it comes from."""
    return json_response(hardening_catalogue())


@router.get(
    "/v1/profiles",
    response_model=dict[str, list[dict[str, Any]]],
    **describe(
        example={
            "profiles": [{"name": "virt-gicv3", "gic": 3, "cpus": 4, "ram_mib": 256}],
            "defects": [
                {
                    "quirk": "mapd_keeps_dte",
                    "of": "its",
                    "origin": "Linux KVM, 2024",
                    "doc": "MAPD with V=0 leaves the device table entry.",
                }
            ],
        }
    ),
)
async def list_profiles() -> Response:
    """Kinds of machine, and the historic defects that `quirks` can seed into one."""
    return json_response({"profiles": profile_document(), "defects": defect_document()})


@router.get("/v1/limits", response_model=dict[str, int], **describe(example={"sessions": 256, "ops_per_request": 4096}))
async def get_limits(service: ServiceDep) -> Response:
    """The caps of this service; a 413 or 429 names one of them."""
    return json_response(service.settings.limits.as_json())
