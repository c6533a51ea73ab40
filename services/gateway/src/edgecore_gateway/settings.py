"""The gateway's settings."""

from pydantic import SecretStr

from edgecore_runtime.settings import (
    DatabaseSettings,
    KafkaSettings,
    ObjectStoreSettings,
    ServiceSettings,
    setting,
)


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings, ObjectStoreSettings):
    scheduler_address: str = setting(
        "", unit="host:port", reason="gRPC, for steps and queue positions; empty: what events say is shown alone"
    )
    analytics_address: str = setting(
        "", unit="host:port", reason="gRPC, for GET analytics/usage; empty: that answers 503"
    )
    cost_address: str = setting(
        "", unit="host:port", reason="gRPC, for estimates and reservations; empty: jobs are taken without either"
    )
    reserve_timeout: float = setting(
        0.3, unit="seconds", reason="a new job waits for cost; it decides later what it missed", gt=0, le=10
    )
    preview_address: str = setting(
        "", unit="host:port", reason="gRPC, for pictures of jobs in the making; empty: a preview is its end alone"
    )
    preview_viewers_most: int = setting(
        500,
        unit="viewers",
        reason="at the same time, a fifth for one user; further ones are answered 429",
        ge=1,
        le=100_000,
    )
    preview_lifetime: float = setting(
        3600.0, unit="seconds", reason="after which a viewer connects again, perhaps elsewhere", ge=1, le=86_400
    )
    preview_send_timeout: float = setting(
        10.0, unit="seconds", reason="a viewer that takes nothing for so long is cut off", gt=0, le=120
    )
    dev_key_file: str = setting(
        "", unit="path", reason="a laptop's API key is made and kept here on start; empty: none is made"
    )
    dev_password_file: str = setting(
        "", unit="path", reason="the same for the password of dev@edgecore.local, who is an administrator"
    )
    admin_email: str = setting(
        "", unit="email", reason="an administrator who is made on start when missing; empty: none is made"
    )
    admin_password: SecretStr = setting(
        SecretStr(""), unit="secret", reason="of that administrator, while he is made; 12 to 256 characters"
    )
    admin_api_key: SecretStr = setting(
        SecretStr(""), unit="secret", reason="a well-formed API key that is registered for that administrator"
    )
    max_body_bytes: int = setting(
        12 * 1024 * 1024,
        unit="bytes",
        reason="a larger JSON body is refused with 413; a picture of 8 MiB in it takes 10.7 MiB",
        ge=1024,
        le=64 * 1024 * 1024,
    )
    upload_hours: float = setting(
        24.0, unit="hours", reason="after which an uploaded picture can be had by no new job", gt=0, le=720
    )
    waiting_most: int = setting(
        1000,
        unit="requests",
        reason="waiting at the same time; further ones are answered at once",
        ge=0,
        le=100_000,
    )
    key_cache: float = setting(
        5.0, unit="seconds", reason="how long a revoked key may still pass; spares a query a request", ge=0, le=300
    )
    redis_url: str = setting(
        "",
        unit="URL",
        reason="where replicas share their rates' counts; empty: each counts alone",
        pattern=r"^$|^rediss?://",
    )
    submits_per_minute: int = setting(
        600, unit="requests", reason="POST generate by one user; 0: any number", ge=0, le=10_000_000
    )
    requests_per_minute: int = setting(
        6000, unit="requests", reason="all others by one user; 0: any number", ge=0, le=10_000_000
    )
    account_failures: int = setting(
        10, unit="failures", reason="to sign in to one account in 5 minutes; further tries: 429", ge=1, le=10_000
    )
    address_failures: int = setting(
        50,
        unit="failures",
        reason="to sign in from one address in 5 minutes; further tries: 429",
        ge=1,
        le=100_000,
    )
    forwarded_hops: int = setting(
        0,
        unit="proxies",
        reason="in front, whose X-Forwarded-For is believed; 0: the header is ignored",
        ge=0,
        le=10,
    )
    access_token_seconds: int = setting(
        900, unit="seconds", reason="a signed-in client refreshes so often", ge=30, le=86_400
    )
    session_days: float = setting(30.0, unit="days", reason="after which one signs in again", gt=0, le=365)
    signing_key_days: float = setting(
        30.0,
        unit="days",
        reason="after which the key that signs access tokens is followed by another",
        gt=0,
        le=365,
    )
