"""Grafana's HTTP API through `grafana-api-client`, with corrected handling of replies, redirects and timeouts.

The library follows a redirected POST as a GET (so an http address of an https site seems to succeed), has no timeout,
fails on an empty reply, and distinguishes 403, 404 and 409 only in message text. `Client` keeps the library's fluent
calls and overrides the one method that sends requests.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
from grafana_api_client import GrafanaClient

from dashboards.common import Json

_HINTS = {
    400: "Grafana refused the content; its message is above",
    401: "the token is missing, wrong or expired: set UNDERTONE_GRAFANA_TOKEN to a service account token",
    403: "the token may not do this: it needs the role Admin, or Editor with rights on data sources and alerting",
    404: "nothing at this address: check the path in --url, and that the Grafana version has this endpoint",
    409: "the name or uid is taken by another object",
    412: "somebody changed it at the same time, or another dashboard has this title in the folder",
}


class GrafanaError(Exception):
    """A request did not succeed. The message has the request, the reply and, where known, a remedy."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status, None when no answer came."""


class Client(GrafanaClient):  # type: ignore[misc]  # the library has no types
    """A Grafana server. Calls look like the paths of its API: `client.search(type="dash-db")`."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout: tuple[float, float] = (3.05, 15.0),
        verify: bool | str = True,
        keep_editable: bool = False,
    ) -> None:
        """Connect lazily: nothing is sent yet.

        Args:
            url: address of the server, with its path prefix if it has one.
            token: service account token; None for a site that allows anonymous administration.
            timeout: seconds to connect, and to wait for an answer.
            verify: whether to check the certificate, or the path of a CA bundle to check it with.
            keep_editable: let people change alert rules in the interface (Grafana 9.3 ignores it).
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise GrafanaError(f"{url!r} is not an address: write it like https://grafana.example.org")
        super().__init__(token, parts.hostname, parts.port, parts.path.strip("/"), parts.scheme)
        self.timeout = timeout
        self.session.verify = verify
        self.session.trust_env = False  # else a .netrc would replace the token
        if keep_editable:
            self.session.headers["X-Disable-Provenance"] = "true"

    def make_raw_request(self, method: str, endpoint: str, payload: Json | None) -> Json | None:
        """Send one request; return the JSON of the reply, None for an empty reply.

        Raises:
            GrafanaError: the reply is not a success or not JSON, or no reply comes.
        """
        what = f"{method.upper()} {self.construct_api_url(endpoint)}"
        body = {"params" if method.lower() == "get" else "json": payload or None}
        try:
            reply = self.session.request(
                method.upper(), self.construct_api_url(endpoint), timeout=self.timeout, allow_redirects=False, **body
            )
        except requests.exceptions.SSLError as error:
            raise GrafanaError(
                f"{what}: TLS failed ({error}); give the CA with --ca-file, or correct the address"
            ) from error
        except requests.exceptions.Timeout as error:
            raise GrafanaError(f"{what}: no answer in {self.timeout[1]:g} s; try a longer --timeout") from error
        except requests.exceptions.ConnectionError as error:
            raise GrafanaError(f"{what}: cannot connect ({error})") from error
        _check(what, reply)
        return _decoded(what, reply)


def _check(what: str, reply: requests.Response) -> None:
    status = reply.status_code
    if status < 300:
        return
    if status < 400:
        where = reply.headers.get("Location", "an unnamed place")
        raise GrafanaError(f"{what}: redirected to {where}; give that address in --url", status)
    said = reply.text[:500] or "no message"
    hint = _HINTS.get(status, "Grafana itself failed; see its log, and try again" if status >= 500 else "")
    raise GrafanaError(f"{what}: {status} {said}" + (f"\n  {hint}" if hint else ""), status)


def _decoded(what: str, reply: requests.Response) -> Json | None:
    if not reply.content:
        return None
    try:
        decoded: Json = reply.json()
    except requests.exceptions.JSONDecodeError as error:
        raise GrafanaError(f"{what}: the reply is not JSON; is this a Grafana server?", reply.status_code) from error
    return decoded
