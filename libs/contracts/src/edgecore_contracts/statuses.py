"""The one table between typed errors and gRPC status codes."""

import grpc

from edgecore_contracts.errors import (
    Conflict,
    DeadlineExceeded,
    EdgecoreError,
    FieldProblem,
    Forbidden,
    Internal,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

STATUS: dict[type[EdgecoreError], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    PayloadTooLarge: grpc.StatusCode.OUT_OF_RANGE,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Internal: grpc.StatusCode.INTERNAL,
}
_ERROR = {status: kind for kind, status in STATUS.items()}


def from_grpc(error: grpc.RpcError) -> EdgecoreError:
    """The typed error behind a failed call; an unknown status is Internal."""
    kind = _ERROR.get(error.code(), Internal)
    detail = error.details() or error.code().name
    return InvalidInput([FieldProblem("request", detail)]) if kind is InvalidInput else kind(detail)
