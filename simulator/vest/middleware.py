"""Wraps every REST call of Vest: faults, latency, error bodies."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from simulator.faults import Fault, FaultPlan
from simulator.vest.errors import Code, VestError
from simulator.vest.rest import Handler
from simulator.vest.settings import VestSettings


class Gate:
    """Wraps a handler into what the web application serves."""

    def __init__(self, faults: FaultPlan, settings: VestSettings) -> None:
        self._faults = faults
        self._settings = settings
        # The last create's answer, for one that is crossed with it; a foreign order's at first.
        self._created = orjson.dumps({"id": "0x" + "5" * 64})

    def wrap(self, name: str, handler: Handler) -> Any:
        """Return an aiohttp handler for the call that faults know as ``rest.<name>``."""

        async def serve(request: web.Request) -> web.StreamResponse:
            fault = self._faults.take(f"rest.{name}", await self._symbol(request, name))
            earlier = self._created
            if fault is not None and fault.answers_instead:
                if fault.is_carried_out:
                    await self._answer(request, handler)
                response = self._fault_answer(fault, earlier)
            else:
                response = await self._answer(request, handler)
                if fault is not None and fault.duplicate:
                    again = await self._answer(request, handler)
                    response = again if fault.answers_last else response
            if name == "orders.create" and fault is None and response.status == 200:
                assert isinstance(response.body, bytes)
                self._created = response.body
            if fault is not None and isinstance(response.body, bytes):
                response.body = fault.spoil(response.body)
            delay_ms = self._settings.ack_latency_ms + (fault.delay_ms if fault else 0.0)
            if delay_ms:
                await asyncio.sleep(delay_ms / 1e3)
            if fault is not None and fault.drop_reply and request.transport is not None:
                # The call was carried out; the client sees its connection end without an answer.
                request.transport.abort()
            return response

        return serve

    async def _symbol(self, request: web.Request, name: str) -> str:
        """The symbol of a create, for faults that are limited to one; "" of every other call."""
        if name != "orders.create" or not self._faults.is_armed:
            return ""
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return ""
        order = body.get("order") if isinstance(body, dict) else None
        symbol = order.get("symbol") if isinstance(order, dict) else None
        return symbol if isinstance(symbol, str) else ""

    async def _answer(self, request: web.Request, handler: Handler) -> web.Response:
        try:
            return _json(200, await handler(request))
        except VestError as error:
            return self._error(error)

    def _fault_answer(self, fault: Fault, earlier: bytes) -> web.Response:
        if fault.is_crossed:
            return web.Response(status=200, body=earlier, content_type="application/json")
        if fault.code:
            response = self._error(VestError(Code(int(fault.code)), status=fault.status))
        else:
            response = web.Response(status=fault.status, body=fault.body)
        response.headers.update(fault.headers)
        return response

    def _error(self, error: VestError) -> web.Response:
        body: dict[str, Any] = {"code": int(error.code), "msg": error.msg}
        return _json(error.status, {"detail": body} if self._settings.detail_errors else body)


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
