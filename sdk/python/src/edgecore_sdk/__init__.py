"""A small typed client of the EDGECORE HTTP API.

from edgecore_sdk import Client

with Client("http://127.0.0.1:8080", api_key) as edgecore:
    job = edgecore.generate("a red circle moving right")
    edgecore.wait(job.id, timeout_s=300)
    edgecore.download(job.id, "out.mp4")
"""

from edgecore_sdk.client import Client
from edgecore_sdk.errors import (
    ApiError,
    BudgetExceeded,
    Conflict,
    DownloadFailed,
    EdgecoreError,
    Forbidden,
    Invalid,
    JobFailed,
    NotFound,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
    WaitTimeout,
)
from edgecore_sdk.fleet import Decision, Model, Node, Pool, Provider
from edgecore_sdk.inputs import Adapter, Upload
from edgecore_sdk.keys import ApiKey
from edgecore_sdk.models import Attempt, FieldError, Job, JobError, Page, Rendition
from edgecore_sdk.money import Candidate, CostLine, Estimate, JobCost
from edgecore_sdk.preview import PreviewEnd, PreviewEvent, PreviewFrame

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "ApiError",
    "ApiKey",
    "Attempt",
    "BudgetExceeded",
    "Candidate",
    "Client",
    "Conflict",
    "CostLine",
    "Decision",
    "DownloadFailed",
    "EdgecoreError",
    "Estimate",
    "FieldError",
    "Forbidden",
    "Invalid",
    "Job",
    "JobCost",
    "JobError",
    "JobFailed",
    "Model",
    "Node",
    "NotFound",
    "Page",
    "Pool",
    "PreviewEnd",
    "PreviewEvent",
    "PreviewFrame",
    "Provider",
    "RateLimited",
    "Rendition",
    "ServerFault",
    "Unauthorized",
    "Unreachable",
    "Upload",
    "WaitTimeout",
]
