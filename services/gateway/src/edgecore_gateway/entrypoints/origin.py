"""Where a request comes from."""

from fastapi import Request

ADDRESS_MOST = 64


def address_of(request: Request, hops: int) -> str:
    """The client's address: the peer's, or, behind `hops` proxies of ours, what the outermost of them saw.

    Each proxy appends the address it was called from, so that what stands further left was made up by anybody.
    """
    peer = request.client.host if request.client else "unknown"
    if hops == 0:
        return peer
    seen = [one.strip() for one in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if one.strip()]
    return seen[-hops][:ADDRESS_MOST] if len(seen) >= hops else peer
