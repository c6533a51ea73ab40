"""Users' monthly budgets, for administrators."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore_contracts.errors import FieldProblem, InvalidInput, NotFound
from edgecore_gateway.adapters import audit, users
from edgecore_gateway.adapters.audit import Deed
from edgecore_gateway.domain import fields
from edgecore_gateway.domain.costs import amount_text
from edgecore_gateway.entrypoints.caller import Admin
from edgecore_gateway.entrypoints.forms import Form, documented, read_form
from edgecore_gateway.entrypoints.origin import address_of
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS

router = APIRouter(prefix="/api/v1/admin/budgets", tags=["administration"])

NO_STORE = {"Cache-Control": "no-store"}


class BudgetForm(Form):
    monthly: str | float | int | None = Field(description="USD a month, at most 6 decimals; null: unlimited")


class BudgetView(BaseModel):
    monthly: str | None = Field(description="USD a month; null: unlimited")


@router.get("/{user_id}", summary="A user's budget", responses={200: {"model": BudgetView}, **REFUSALS})
async def budget(request: Request, _: Admin, user_id: str) -> Response:
    parts = parts_of(request)
    await _check_known(parts, user_id)
    return JSONResponse({"monthly": amount_text(await parts.costs.budget(user_id))}, headers=NO_STORE)


@router.put(
    "/{user_id}",
    summary="Set a user's budget",
    responses={200: {"model": BudgetView}, **REFUSALS},
    openapi_extra=documented(BudgetForm),
)
async def set_budget(request: Request, admin: Admin, user_id: str) -> Response:
    """What counts from the next job on. Jobs that are accepted keep their reservation."""
    parts = parts_of(request)
    form = await read_form(request, BudgetForm)
    monthly = None if form.monthly is None else _micros(form.monthly)
    await _check_known(parts, user_id)
    # Noted first: a change without its note would be worse than a note whose change failed.
    async with parts.database.transaction() as session:
        address = address_of(request, parts.settings.forwarded_hops)
        deed = Deed(admin.user_id, "budget.update", user_id, address, detail={"monthly": amount_text(monthly)})
        await audit.record(session, deed, parts.clock.now())
    now = await parts.costs.put_budget(user_id, monthly)
    return JSONResponse({"monthly": amount_text(now)}, headers=NO_STORE)


async def _check_known(parts: Parts, user_id: str) -> None:
    """Raises NotFound."""
    async with parts.database.reading() as session:
        user = await users.find(session, user_id) if user_id.isprintable() else None
    if user is None:
        raise NotFound("there is no such user")


def _micros(value: str | float) -> int:
    try:
        return fields.money(value)
    except fields.Refused as refused:
        raise InvalidInput([FieldProblem("monthly", refused.rule, refused.nearest)]) from refused
