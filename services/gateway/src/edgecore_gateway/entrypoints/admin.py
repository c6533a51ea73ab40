"""What administrators do: accounts, and who did what."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore_contracts.errors import Conflict, FieldProblem, InvalidInput, NotFound
from edgecore_gateway.adapters import audit, sessions, users
from edgecore_gateway.adapters.audit import Deed
from edgecore_gateway.domain.accounts import NAME_MOST, User, checked_email, checked_password
from edgecore_gateway.domain.job import moment
from edgecore_gateway.domain.principal import Principal
from edgecore_gateway.entrypoints.auth import UserView
from edgecore_gateway.entrypoints.caller import Admin
from edgecore_gateway.entrypoints.forms import Form, documented, read_form
from edgecore_gateway.entrypoints.origin import address_of
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime.ids import new_id

router = APIRouter(prefix="/api/v1/admin", tags=["administration"])

PAGE_DEFAULT, PAGE_MOST = 50, 200
NO_STORE = {"Cache-Control": "no-store"}
PRINTABLE = r"^[\x20-\x7e]{1,320}$"

After = Annotated[str | None, Query(description="the `next` of the page before", pattern=PRINTABLE)]
PageSize = Annotated[int, Query(ge=1, le=PAGE_MOST)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MOST, pattern=r"^[^\x00]*$")]


class NewUser(Form):
    email: str
    name: Name
    role: Literal["user", "admin"] = "user"
    password: str = Field(description="12 to 256 characters")


class UserChange(Form):
    """Only what is given changes."""

    email: str | None = None
    name: Name | None = None
    role: Literal["user", "admin"] | None = None
    password: str | None = Field(None, description="12 to 256 characters; ends the user's sessions")
    disabled: bool | None = Field(None, description="true ends the user's sessions and stops the keys")


class AdminUserView(UserView):
    created_at: str
    disabled_at: str | None


class UserPage(BaseModel):
    data: list[AdminUserView]
    has_more: bool
    next: str | None


class AuditView(BaseModel):
    id: str
    actor: str | None
    action: str
    target: str
    outcome: str = Field(description="done or refused")
    address: str
    detail: dict[str, Any]
    occurred_at: str


class AuditPage(BaseModel):
    data: list[AuditView]
    has_more: bool
    next: str | None


@router.get("/users", summary="All users, newest first", responses={200: {"model": UserPage}, **REFUSALS})
async def user_list(request: Request, _: Admin, after: After = None, limit: PageSize = PAGE_DEFAULT) -> Response:
    async with parts_of(request).database.reading() as session:
        found = await users.page(session, after, limit + 1)
    return _page([user.shown_to_admin() for user in found], limit)


@router.post(
    "/users",
    status_code=201,
    summary="Make a user",
    responses={201: {"model": AdminUserView}, **REFUSALS},
    openapi_extra=documented(NewUser),
)
async def user_create(request: Request, admin: Admin) -> Response:
    parts = parts_of(request)
    form = await read_form(request, NewUser)
    email = checked_email(form.email)
    hashed = await parts.passwords.of(checked_password(form.password))
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        values = {"email": email, "name": form.name, "role": form.role, "password_hash": hashed, "created_at": now}
        user = await users.add(session, new_id("user"), **values)
        deed = _deed(parts, request, admin, "user.create", user, {"email": email, "role": form.role})
        await audit.record(session, deed, now)
    return JSONResponse(user.shown_to_admin(), 201, NO_STORE)


@router.put(
    "/users/{user_id}",
    summary="Change a user",
    responses={200: {"model": AdminUserView}, **REFUSALS},
    openapi_extra=documented(UserChange),
)
async def user_update(request: Request, admin: Admin, user_id: str) -> Response:
    """Disabling stops keys and sessions: at once in this replica, within seconds in the others."""
    parts = parts_of(request)
    form = await read_form(request, UserChange)
    values = await _values(parts, form)
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        current = await users.lock(session, user_id) if user_id.isprintable() else None
        if current is None:
            raise NotFound("there is no such user")
        if user_id == admin.user_id and (form.disabled or form.role == "user"):
            raise Conflict("you cannot take your own rights: ask another administrator")
        if form.disabled is not None:
            values["disabled_at"] = users.disabling(form.disabled, current)
        user = await users.change(session, user_id, **values)
        if form.disabled or form.password is not None:
            await sessions.close_all(session, user_id, now)
        detail = form.model_dump(exclude_none=True, exclude={"password"})
        if form.password is not None:
            detail["password"] = "changed"  # noqa: S105
        await audit.record(session, _deed(parts, request, admin, "user.update", user, detail), now)
    parts.keys.forget()
    parts.sessions.forget()
    return JSONResponse(user.shown_to_admin(), headers=NO_STORE)


@router.get("/audit", summary="Who did what, newest first", responses={200: {"model": AuditPage}, **REFUSALS})
async def audit_list(
    request: Request,
    _: Admin,
    after: After = None,
    limit: PageSize = PAGE_DEFAULT,
    actor: Annotated[str | None, Query(description="a user's id", pattern=PRINTABLE)] = None,
    action: Annotated[str | None, Query(description="for example login", pattern=PRINTABLE)] = None,
) -> Response:
    async with parts_of(request).database.reading() as session:
        rows = await audit.page(session, after, limit + 1, actor, action)
    return _page([_shown(row) for row in rows], limit)


async def _values(parts: Parts, form: UserChange) -> dict[str, Any]:
    """The columns that change. Raises InvalidInput."""
    given = form.model_dump(exclude_none=True)
    if not given:
        raise InvalidInput([FieldProblem("body", "must name what to change")])
    values: dict[str, Any] = {name: given[name] for name in ("name", "role") if name in given}
    if form.email is not None:
        values["email"] = checked_email(form.email)
    if form.password is not None:
        values["password_hash"] = await parts.passwords.of(checked_password(form.password))
    return values


def _deed(
    parts: Parts, request: Request, admin: Principal, action: str, user: User, detail: dict[str, Any]
) -> Deed:
    return Deed(admin.user_id, action, user.id, address_of(request, parts.settings.forwarded_hops), detail=detail)


def _page(found: list[dict[str, Any]], limit: int) -> Response:
    """`found` has one more than `limit` when there are more."""
    shown, more = found[:limit], len(found) > limit
    body = {"data": shown, "has_more": more, "next": shown[-1]["id"] if more else None}
    return JSONResponse(body, headers=NO_STORE)


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "actor": row.actor,
        "action": row.action,
        "target": row.target,
        "outcome": row.outcome,
        "address": row.address,
        "detail": row.detail,
        "occurred_at": moment(row.occurred_at),
    }
