"""Signing in and out: an access token for minutes, a refresh token that is good for one use."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore_contracts.errors import Unauthenticated
from edgecore_gateway.adapters import audit, sessions, users
from edgecore_gateway.adapters.audit import REFUSED, Deed
from edgecore_gateway.domain.access_tokens import Claims
from edgecore_gateway.domain.accounts import PASSWORD_MOST, User, checked_email
from edgecore_gateway.domain.window import Limit, TooMany
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.forms import Form, documented, read_form
from edgecore_gateway.entrypoints.origin import address_of
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime import logs

router = APIRouter(prefix="/api/v1/auth", tags=["identity"])

FAILURE_SECONDS = 300
NO_STORE = {"Cache-Control": "no-store"}

log = logs.get(__name__)


class Login(Form):
    email: str
    password: str = Field(max_length=PASSWORD_MOST)


class RefreshToken(Form):
    refresh_token: str


class UserView(BaseModel):
    id: str
    email: str | None
    name: str
    role: str


class Tokens(BaseModel):
    access_token: str
    token_type: str
    expires_in: int = Field(description="seconds")
    refresh_token: str = Field(description="good for one use; the answer to it has the next one")
    user: UserView


SIGNED_IN: dict[int | str, dict[str, Any]] = {200: {"model": Tokens}, **REFUSALS}


@router.post("/login", summary="Sign in", responses=SIGNED_IN, openapi_extra=documented(Login, security=[]))
async def login(request: Request) -> Response:
    """Refusals say the same, and take as long, whether the account exists or not."""
    parts = parts_of(request)
    form = await read_form(request, Login)
    email = checked_email(form.email)
    address = address_of(request, parts.settings.forwarded_hops)
    # Counted before the password is looked at, so that many tries at once do not all pass; the address first, so
    # that one who is shut out does not go on shutting out accounts.
    limits = [
        (Limit("address-failures", parts.settings.address_failures, FAILURE_SECONDS), address),
        (Limit("account-failures", parts.settings.account_failures, FAILURE_SECONDS), email),
    ]
    for limit, subject in limits:
        reading = parts.rates.take(limit, subject)
        if not reading.admitted:
            log.warning("too many failed logins", limit=limit.name, address=address)
            raise TooMany(reading, "too many failed logins")
    try:
        async with parts.database.reading() as session:
            user = await users.find_by_email(session, email)
        fits = await parts.passwords.fits(form.password, user.password_hash if user else None)
    except Exception:  # nobody looked at the password: this was no failure of the caller's
        _give_back(parts, limits)
        raise
    if user is None or not fits or user.disabled_at is not None:
        await _note(parts, Deed(user.id if user else None, "login", email, address, REFUSED))
        raise Unauthenticated("email or password is wrong")
    _give_back(parts, limits)
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        lasts = timedelta(days=parts.settings.session_days)
        claims, token = await sessions.open_session(session, user.id, now, lasts)
        await audit.record(session, Deed(user.id, "login", email, address), now)
    return await _signed_in(parts, user, claims, token)


def _give_back(parts: Parts, limits: Iterable[tuple[Limit, str]]) -> None:
    for limit, subject in limits:
        parts.rates.give_back(limit, subject)


@router.post(
    "/refresh",
    summary="New tokens for a refresh token",
    responses=SIGNED_IN,
    openapi_extra=documented(RefreshToken, security=[]),
)
async def refresh(request: Request) -> Response:
    """A token that comes a second time ends the session: it, or the one before it, was stolen."""
    parts = parts_of(request)
    form = await read_form(request, RefreshToken)
    now = parts.clock.now()
    user = None
    async with parts.database.transaction() as session:
        found = await sessions.refresh(session, form.refresh_token, now)
        if found.claims is not None:
            user = await users.find(session, found.claims.user_id)
        if found.reused and found.claims is not None:
            address = address_of(request, parts.settings.forwarded_hops)
            deed = Deed(found.claims.user_id, "session.reuse", found.claims.session_id, address, REFUSED)
            await audit.record(session, deed, now)
    if found.reused:
        parts.sessions.forget()
        raise Unauthenticated("this refresh token was used before: its session was ended; sign in again")
    if found.claims is None or found.token is None or user is None:
        raise Unauthenticated("this refresh token is unknown, or its session is over; sign in again")
    return await _signed_in(parts, user, found.claims, found.token)


@router.post(
    "/logout",
    status_code=204,
    summary="End the session of a refresh token",
    responses={204: {"description": "It is over, if it was yours and went on"}, **REFUSALS},
    openapi_extra=documented(RefreshToken),
)
async def logout(request: Request, caller: Caller) -> Response:
    parts = parts_of(request)
    form = await read_form(request, RefreshToken)
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        ended = await sessions.close_session(session, caller, form.refresh_token, now)
        if ended is not None:
            address = address_of(request, parts.settings.forwarded_hops)
            await audit.record(session, Deed(caller, "logout", ended, address), now)
    parts.sessions.forget()
    return Response(status_code=204)


@router.get("/me", summary="Who you are", responses={200: {"model": UserView}, **REFUSALS})
async def me(request: Request, caller: Caller) -> Response:
    async with parts_of(request).database.reading() as session:
        user = await users.find(session, caller)
    if user is None:
        raise Unauthenticated("this user is gone")
    return JSONResponse(user.shown(), headers=NO_STORE)


async def _note(parts: Parts, deed: Deed) -> None:
    async with parts.database.transaction() as session:
        await audit.record(session, deed, parts.clock.now())


async def _signed_in(parts: Parts, user: User, claims: Claims, token: str) -> Response:
    body = {
        "access_token": await parts.signing_keys.sign(claims),
        "token_type": "Bearer",
        "expires_in": parts.settings.access_token_seconds,
        "refresh_token": token,
        "user": user.shown(),
    }
    return JSONResponse(body, headers=NO_STORE)
